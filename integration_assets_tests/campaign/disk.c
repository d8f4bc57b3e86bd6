/* Preloaded into the process that forks runs: counts what a run changes on disks and sends over sockets, whichever library does
   it, and strikes at the change of a given number. It also moves the wall clock. Nothing happens before it is told to. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING, KILL, TEAR, FULL, BROKEN };
static atomic_int counting, seen;
static int deed, at;
static double ahead;

void campaign_arm(int what, int number) { deed = what; at = number; seen = 0; counting = 1; }
int campaign_seen(void) { return seen; }
void campaign_clock(double seconds) { ahead = seconds; }

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

static int counts(int fd) {
    struct stat state;
    if (!counting || fd < 3 || fstat(fd, &state)) return 0;
    return S_ISREG(state.st_mode) ? 1 : S_ISSOCK(state.st_mode) ? 2 : 0;
}

/* What becomes of the next change: go on, tear it, or the error that it ends with. Only disks are full or broken. */
static int strike(int kind) {
    int number = ++seen;
    if (deed == KILL && number == at) die();
    if (deed == TEAR && number == at) { if (kind == 1) return -1; die(); }
    if (deed == FULL && number >= at && kind == 1) return ENOSPC;
    if (deed == BROKEN && number == at && kind == 1) return EIO;
    return 0;
}

#define CHANGE(fd, torn, real) \
    int kind = counts(fd), error = kind ? strike(kind) : 0; \
    if (error < 0) { torn; die(); } \
    if (error) { errno = error; return -1; } \
    return real

ssize_t write(int fd, const void *data, size_t size) {
    CHANGE(fd, NEXT(write)(fd, data, size / 2), NEXT(write)(fd, data, size));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t place) {
    CHANGE(fd, NEXT(pwrite)(fd, data, size / 2, place), NEXT(pwrite)(fd, data, size, place));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place) {
    CHANGE(fd, NEXT(pwrite64)(fd, data, size / 2, place), NEXT(pwrite64)(fd, data, size, place));
}
ssize_t writev(int fd, const struct iovec *parts, int number) {
    CHANGE(fd, NEXT(writev)(fd, parts, (number + 1) / 2), NEXT(writev)(fd, parts, number));
}
ssize_t send(int fd, const void *data, size_t size, int flags) { CHANGE(fd, , NEXT(send)(fd, data, size, flags)); }
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    CHANGE(fd, , NEXT(sendto)(fd, data, size, flags, to, length));
}
int ftruncate(int fd, off_t size) { CHANGE(fd, , NEXT(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { CHANGE(fd, , NEXT(ftruncate64)(fd, size)); }

#define NAMES(real) \
    if (counting) { int error = strike(deed == FULL ? 2 : 1); if (error < 0) die(); if (error) { errno = error; return -1; } } \
    return real

int rename(const char *from, const char *to) { NAMES(NEXT(rename)(from, to)); }
int link(const char *from, const char *to) { NAMES(NEXT(link)(from, to)); }
int unlink(const char *path) { NAMES(NEXT(unlink)(path)); }
int linkat(int a, const char *from, int b, const char *to, int flags) { NAMES(NEXT(linkat)(a, from, b, to, flags)); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { NAMES(NEXT(renameat2)(a, from, b, to, flags)); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int status = NEXT(clock_gettime)(clock, now);
    if (ahead && !status && clock == CLOCK_REALTIME) now->tv_sec += (time_t)ahead;
    return status;
}
int gettimeofday(struct timeval *now, void *zone) {
    int status = NEXT(gettimeofday)(now, zone);
    if (ahead && !status) now->tv_sec += (time_t)ahead;
    return status;
}
time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now) *now = found.tv_sec;
    return found.tv_sec;
}
