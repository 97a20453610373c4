/* A slow file system: every open below SLOW_UNDER, or relative to a directory, takes SLOW_MICROSECONDS
 * longer, and that of a path that ends with SLOW_NAME takes SLOW_NAME_MICROSECONDS. To be preloaded: the
 * files lie on a fast one, and only waiting is simulated.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *under, *name;
static useconds_t wait, wait_for_name;

static useconds_t number(const char *variable)
{
    const char *text = getenv(variable);
    return text ? (useconds_t)atoi(text) : 0;
}

static int is_named(const char *path)
{
    size_t length = strlen(path);
    return name && length >= strlen(name) && !strcmp(path + length - strlen(name), name);
}

__attribute__((constructor)) static void begin(void)
{
    under = getenv("SLOW_UNDER");
    name = getenv("SLOW_NAME");
    wait = number("SLOW_MICROSECONDS");
    wait_for_name = number("SLOW_NAME_MICROSECONDS");
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
    if (is_named(path))
        usleep(wait_for_name);
    else if (under && (directory != AT_FDCWD || !strncmp(path, under, strlen(under))))
        usleep(wait);
    return real(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) __attribute__((alias("openat")));
