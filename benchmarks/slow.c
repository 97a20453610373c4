/* A slow file system: every open below SLOW_UNDER, or relative to a directory, takes SLOW_MICROSECONDS
 * longer. To be preloaded: the files lie on a fast one, and only waiting is simulated.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *under;
static useconds_t wait;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("SLOW_MICROSECONDS");
    under = getenv("SLOW_UNDER");
    wait = text ? (useconds_t)atoi(text) : 0;
}

int openat(int directory, const char *path, int flags, ...)
{
    static int (*real)(int, const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (!real)
        real = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");
    if (under && (directory != AT_FDCWD || !strncmp(path, under, strlen(under))))
        usleep(wait);
    return real(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) __attribute__((alias("openat")));
