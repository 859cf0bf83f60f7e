// The functions of libc for files, as this program has them.
#define _GNU_SOURCE
#include "Plan.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Fails the call with -1 when the plan says so.
#define COUNT(belongs, kind)                                                                                                              \
    do {                                                                                                                                  \
        int code;                                                                                                                         \
        if ((belongs) && faults_count((kind), &code) != FAULTS_PASS) {                                                                    \
            errno = code;                                                                                                                 \
            return -1;                                                                                                                    \
        }                                                                                                                                 \
    } while (0)

/// The function that this one stands before.
#define NEXT(name)                                                                                                                        \
    static __typeof__(name) *next;                                                                                                        \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int opening(int directory, const char *path, int flags, mode_t mode) {
    bool belongs = faults_has_path(path);
    COUNT(belongs, FAULTS_OPEN);
    int descriptor = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (descriptor >= 0 && belongs) faults_watch(descriptor, false);
    return descriptor;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return opening(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return opening(AT_FDCWD, path, flags, mode);
}

int close(int descriptor) {
    faults_forget(descriptor);
    return (int)syscall(SYS_close, descriptor);
}

ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset) {
    COUNT(faults_has_file(descriptor), FAULTS_READ);
    return syscall(SYS_pread64, descriptor, bytes, count, offset);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    int code;
    if (faults_has_file(descriptor)) switch (faults_count(FAULTS_WRITE, &code)) {
        case FAULTS_PASS: break;
        case FAULTS_HALVE: count /= 2; break;
        default: errno = code; return -1;
        }
    return syscall(SYS_pwrite64, descriptor, bytes, count, offset);
}

int fsync(int descriptor) {
    COUNT(faults_has_file(descriptor), FAULTS_SYNC);
    return (int)syscall(SYS_fsync, descriptor);
}

int fdatasync(int descriptor) {
    COUNT(faults_has_file(descriptor), FAULTS_SYNC);
    return (int)syscall(SYS_fdatasync, descriptor);
}

int msync(void *address, size_t length, int flags) {
    COUNT(faults_has_thread(), FAULTS_SYNC);
    return (int)syscall(SYS_msync, address, length, flags);
}

int ftruncate(int descriptor, off_t length) {
    COUNT(faults_has_file(descriptor), FAULTS_TRUNCATE);
    return (int)syscall(SYS_ftruncate, descriptor, length);
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    int code;
    if (descriptor >= 0 && faults_has_file(descriptor) && faults_count(FAULTS_MAP, &code) != FAULTS_PASS) {
        errno = code;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
}

int fcntl(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    bool locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    // Giving a lock back cannot fail.
    if (locks && argument && ((struct flock *)argument)->l_type == F_UNLCK) locks = false;
    COUNT(locks && faults_has_file(descriptor), FAULTS_LOCK);
    return (int)syscall(SYS_fcntl, descriptor, command, argument);
}

int mkdir(const char *path, mode_t mode) {
    COUNT(faults_has_path(path), FAULTS_MAKE_DIRECTORY);
    return (int)syscall(SYS_mkdir, path, mode);
}

int rename(const char *old, const char *new) {
    COUNT(faults_has_path(new), FAULTS_NAME);
    return (int)syscall(SYS_rename, old, new);
}

int renameat2(int oldDirectory, const char *old, int newDirectory, const char *new, unsigned flags) {
    COUNT(faults_has_path(new), FAULTS_NAME);
    return (int)syscall(SYS_renameat2, oldDirectory, old, newDirectory, new, flags);
}

int link(const char *old, const char *new) {
    COUNT(faults_has_path(new), FAULTS_NAME);
    return (int)syscall(SYS_link, old, new);
}

int unlink(const char *path) {
    COUNT(faults_has_path(path), FAULTS_REMOVE);
    return (int)syscall(SYS_unlink, path);
}

int rmdir(const char *path) {
    COUNT(faults_has_path(path), FAULTS_REMOVE);
    return (int)syscall(SYS_rmdir, path);
}

int access(const char *path, int mode) {
    COUNT(faults_has_path(path), FAULTS_LOOK);
    return (int)syscall(SYS_access, path, mode);
}

int stat(const char *restrict path, struct stat *restrict answer) {
    COUNT(faults_has_path(path), FAULTS_LOOK);
    return (int)syscall(SYS_newfstatat, AT_FDCWD, path, answer, 0);
}

int fstat(int descriptor, struct stat *answer) {
    COUNT(faults_has_file(descriptor), FAULTS_LOOK);
    return (int)syscall(SYS_newfstatat, descriptor, "", answer, AT_EMPTY_PATH);
}

// What fstat was called when liblmdb was built.
int __fxstat(int version, int descriptor, struct stat *answer) {
    (void)version;
    return fstat(descriptor, answer);
}

int statvfs(const char *restrict path, struct statvfs *restrict answer) {
    NEXT(statvfs);
    COUNT(faults_has_path(path), FAULTS_LOOK);
    return next(path, answer);
}

DIR *opendir(const char *path) {
    NEXT(opendir);
    int code;
    if (faults_has_path(path) && faults_count(FAULTS_OPEN, &code) != FAULTS_PASS) {
        errno = code;
        return NULL;
    }
    return next(path);
}

int pipe(int ends[2]) {
    bool belongs = faults_has_thread();
    COUNT(belongs, FAULTS_PIPE);
    int result = (int)syscall(SYS_pipe, ends);
    if (result == 0 && belongs) {
        faults_watch(ends[0], false);
        faults_watch(ends[1], false);
    }
    return result;
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*start)(void *), void *restrict argument) {
    NEXT(pthread_create);
    int code;
    if (faults_has_thread() && faults_count(FAULTS_THREAD, &code) != FAULTS_PASS) return code;
    return next(thread, attributes, start, argument);
}
