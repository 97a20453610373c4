/* Faults in system calls, for a process that is started with LD_PRELOAD.
 *
 * FAULT_UNDER   a directory: only calls on files and names below it count
 * FAULT_CALLS   kinds of calls that count: open read write sync rename, with commas
 * FAULT_AT      the first call that is hit, from 1 on; 0: none
 * FAULT_FOR     how many calls are hit from there on
 * FAULT_HOW     short, kill (before the call), killed (behind it), or the number of an error
 * FAULT_LOG     takes one line per call that counts: its kind, whether it was hit, its name,
 *               and the new name of what is renamed or the inode of what is synced
 * FAULT_SYNCED  a directory: takes a copy of each file that is synced, under its inode
 * FAULT_BOOT    a file that stands for the kernel's boot id
 * FAULT_HOST    the name of the machine
 * FAULT_LACKS   what the system does not have, and the number of the error that it gives instead:
 *               flock=38,locks=37 and so on, of flock, locks (of fcntl), dirsync, filesync,
 *               statvfs and range (sync_file_range)
 * FAULT_AHEAD   seconds by which the clock on the wall is set back once it has been looked at
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static atomic_int counted;

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static int below(const char *path)
{
    const char *under = setting("FAULT_UNDER");
    return *under && strncmp(path, under, strlen(under)) == 0;
}

static void name_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
}

/* Whether the call is hit; says so in the log, and does what ends the process. */
static int hit(const char *kind, const char *path, const char *other)
{
    if (!below(path) || !strstr(setting("FAULT_CALLS"), kind))
        return 0;
    int at = atoi(setting("FAULT_AT")), length = atoi(setting("FAULT_FOR"));
    int number = atomic_fetch_add(&counted, 1) + 1;
    int now = at && number >= at && number < at + (length ? length : 1);
    char line[2 * PATH_MAX + 64];
    int n = snprintf(line, sizeof line, "%s\t%d\t%s\t%s\n", kind, now, path, other);
    int log = syscall(SYS_openat, AT_FDCWD, setting("FAULT_LOG"),
                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (log >= 0) {
        syscall(SYS_write, log, line, n);
        syscall(SYS_close, log);
    }
    if (now && strcmp(setting("FAULT_HOW"), "kill") == 0)
        raise(SIGKILL);
    return now;
}

static int is(const char *how)
{
    return strcmp(setting("FAULT_HOW"), how) == 0;
}

/* The error to give, 0 if the call goes on. */
static int refused(int now)
{
    int number = atoi(setting("FAULT_HOW"));
    if (now && number)
        errno = number;
    return now && number;
}

static void behind(int now)
{
    if (now && is("killed"))
        raise(SIGKILL);
}

/* Whether there is no such thing; gives the error then. */
static int lacks(const char *what)
{
    const char *found = strstr(setting("FAULT_LACKS"), what);
    if (found)
        errno = atoi(found + strlen(what));
    return found != NULL;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* ---- opening ----------------------------------------------------------------- */

static const char *instead(const char *path)
{
    const char *boot = setting("FAULT_BOOT");
    return *boot && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? boot : path;
}

static int opened(int at, const char *path, int flags, mode_t mode)
{
    char whole[2 * PATH_MAX];
    if (path[0] == '/' || at == AT_FDCWD)
        snprintf(whole, sizeof whole, "%s", path);
    else {
        name_of(at, whole);
        snprintf(whole + strlen(whole), PATH_MAX, "/%s", path);
    }
    int now = hit("open", whole, "");
    if (refused(now))
        return -1;
    int fd = syscall(SYS_openat, at, instead(path), flags, mode);
    behind(now);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }

/* ---- reading and writing ------------------------------------------------------- */

#define ON_FILE(kind, call, size, half) \
    char path[PATH_MAX]; \
    name_of(fd, path); \
    int now = hit(kind, path, ""); \
    if (refused(now)) \
        return -1; \
    ssize_t n = now && is("short") && size > 1 ? half : call; \
    behind(now); \
    return n;

ssize_t read(int fd, void *to, size_t size)
{
    ON_FILE("read", syscall(SYS_read, fd, to, size), size, syscall(SYS_read, fd, to, size / 2))
}

ssize_t pread64(int fd, void *to, size_t size, off64_t at)
{
    ON_FILE("read", syscall(SYS_pread64, fd, to, size, at), size,
            syscall(SYS_pread64, fd, to, size / 2, at))
}

ssize_t pread(int fd, void *to, size_t size, off_t at) { return pread64(fd, to, size, at); }

/* A short one ends in the middle of the last part. */
static ssize_t half_of(int fd, const struct iovec *parts, int count)
{
    struct iovec own[16];
    memcpy(own, parts, count * sizeof *parts);
    own[count - 1].iov_len /= 2;
    return syscall(SYS_readv, fd, own, count);
}

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    ON_FILE("read", syscall(SYS_readv, fd, parts, count), parts[count - 1].iov_len,
            half_of(fd, parts, count))
}

ssize_t write(int fd, const void *data, size_t size)
{
    ON_FILE("write", syscall(SYS_write, fd, data, size), size,
            syscall(SYS_write, fd, data, size / 2))
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    ON_FILE("write", syscall(SYS_pwrite64, fd, data, size, at), size,
            syscall(SYS_pwrite64, fd, data, size / 2, at))
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ON_FILE("write", syscall(SYS_writev, fd, parts, count), parts[0].iov_len,
            syscall(SYS_write, fd, parts[0].iov_base, parts[0].iov_len / 2))
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    ON_FILE("write", syscall(SYS_pwritev, fd, parts, count, at, 0), parts[0].iov_len,
            syscall(SYS_pwrite64, fd, parts[0].iov_base, parts[0].iov_len / 2, at))
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return pwritev64(fd, parts, count, at);
}

/* ---- syncing ------------------------------------------------------------------- */

static void keep_copy(int fd)
{
    const char *directory = setting("FAULT_SYNCED");
    struct stat status;
    char name[PATH_MAX], own[64];
    if (!*directory || fstat(fd, &status) || !S_ISREG(status.st_mode))
        return;
    snprintf(name, sizeof name, "%s/%lu", directory, (unsigned long)status.st_ino);
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    int from = syscall(SYS_openat, AT_FDCWD, own, O_RDONLY | O_CLOEXEC);
    int to = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    while (from >= 0 && to >= 0 && sendfile(to, from, NULL, 1 << 30) > 0)
        ;
    syscall(SYS_close, from);
    syscall(SYS_close, to);
}

static int synced(int fd)
{
    char path[PATH_MAX];
    name_of(fd, path);
    struct stat status;
    char inode[32];
    fstat(fd, &status);
    snprintf(inode, sizeof inode, "%lu", (unsigned long)status.st_ino);
    int now = hit("sync", path, inode);
    if (refused(now) || lacks(S_ISDIR(status.st_mode) ? "dirsync=" : "filesync="))
        return -1;
    int result = syscall(SYS_fsync, fd);
    if (below(path))
        keep_copy(fd);
    behind(now);
    return result;
}

int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }

/* ---- names --------------------------------------------------------------------- */

int rename(const char *old, const char *new)
{
    int now = hit("rename", old, new);
    if (refused(now))
        return -1;
    REAL(rename);
    int result = real(old, new);
    behind(now);
    return result;
}

int unlink(const char *path)
{
    int now = hit("rename", path, "");
    if (refused(now))
        return -1;
    REAL(unlink);
    int result = real(path);
    behind(now);
    return result;
}

/* ---- what the system may lack -------------------------------------------------- */

int flock(int fd, int how) { return lacks("flock=") ? -1 : syscall(SYS_flock, fd, how); }

#define FCNTL(name) \
    va_list rest; \
    va_start(rest, command); \
    void *argument = va_arg(rest, void *); \
    va_end(rest); \
    if ((command == F_SETLK || command == F_SETLKW || command == F_GETLK) && lacks("locks=")) \
        return -1; \
    REAL(name); \
    return real(fd, command, argument);

int fcntl(int fd, int command, ...) { FCNTL(fcntl) }
int fcntl64(int fd, int command, ...) { FCNTL(fcntl64) }

int statvfs(const char *path, struct statvfs *found)
{
    REAL(statvfs);
    return lacks("statvfs=") ? -1 : real(path, found);
}

int statvfs64(const char *path, struct statvfs64 *found)
{
    REAL(statvfs64);
    return lacks("statvfs=") ? -1 : real(path, found);
}

int sync_file_range(int fd, off64_t at, off64_t size, unsigned int flags)
{
    return lacks("range=") ? -1 : syscall(SYS_sync_file_range, fd, at, size, flags);
}

int uname(struct utsname *found)
{
    int result = syscall(SYS_uname, found);
    if (*setting("FAULT_HOST"))
        snprintf(found->nodename, sizeof found->nodename, "%s", setting("FAULT_HOST"));
    return result;
}

/* ---- time ---------------------------------------------------------------------- */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME && result == 0)
        now->tv_sec += atoi(setting("FAULT_AHEAD"));
    return result;
}
