// Reading and writing, of files and of connections, and what else is done with sockets.
#define _GNU_SOURCE
#include "Plan.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/// What becomes of a transfer through a connection: how many bytes of `*count` may pass; -1: none, and errno says why.
static int judge(int descriptor, int kind, size_t *count) {
    int gone = kind == FAULTS_SEND ? EPIPE : ECONNRESET, code;
    if (faults_is_cut(descriptor)) {
        errno = gone;
        return -1;
    }
    switch (faults_count(kind, &code)) {
    case FAULTS_PASS: break;
    case FAULTS_HALVE:
        if (*count >= 2) *count /= 2;
        break;
    case FAULTS_CUT:
        faults_cut(descriptor);
        // Both ends learn of it, as from a reset.
        shutdown(descriptor, SHUT_RDWR);
        errno = gone;
        return -1;
    case FAULTS_FAIL: errno = code; return -1;
    }
    size_t allowed = faults_allowance(kind);
    if (*count > 0 && allowed == 0 && faults_spend(kind)) {
        faults_cut(descriptor);
        shutdown(descriptor, SHUT_RDWR);
        errno = gone;
        return -1;
    }
    if (allowed > 0 && *count > allowed) *count = allowed;
    return 0;
}

static ssize_t passing(int kind, ssize_t result) {
    faults_passed(kind, result);
    return result;
}

ssize_t read(int descriptor, void *bytes, size_t count) {
    int code;
    if (faults_is_socket(descriptor)) {
        if (judge(descriptor, FAULTS_RECEIVE, &count) < 0) return -1;
        return passing(FAULTS_RECEIVE, syscall(SYS_read, descriptor, bytes, count));
    }
    if (faults_has_file(descriptor) && faults_count(FAULTS_READ, &code) != FAULTS_PASS) {
        errno = code;
        return -1;
    }
    return syscall(SYS_read, descriptor, bytes, count);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    int code;
    if (faults_is_socket(descriptor)) {
        if (judge(descriptor, FAULTS_SEND, &count) < 0) return -1;
        return passing(FAULTS_SEND, syscall(SYS_write, descriptor, bytes, count));
    }
    if (faults_has_file(descriptor)) switch (faults_count(FAULTS_WRITE, &code)) {
        case FAULTS_PASS: break;
        case FAULTS_HALVE: count /= 2; break;
        default: errno = code; return -1;
        }
    return syscall(SYS_write, descriptor, bytes, count);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    int code;
    if (faults_is_socket(descriptor)) {
        size_t whole = 0;
        for (int i = 0; i < count; i++) whole += parts[i].iov_len;
        size_t allowed = whole;
        if (judge(descriptor, FAULTS_SEND, &allowed) < 0) return -1;
        if (allowed == whole) return passing(FAULTS_SEND, syscall(SYS_writev, descriptor, parts, count));
        // Less than everything: the first part that has something, as far as it may.
        for (int i = 0; i < count; i++)
            if (parts[i].iov_len > 0) {
                size_t some = parts[i].iov_len < allowed ? parts[i].iov_len : allowed;
                return passing(FAULTS_SEND, syscall(SYS_write, descriptor, parts[i].iov_base, some));
            }
        return 0;
    }
    if (faults_has_file(descriptor)) switch (faults_count(FAULTS_WRITE, &code)) {
        case FAULTS_PASS: break;
        case FAULTS_HALVE: return count > 0 ? syscall(SYS_write, descriptor, parts[0].iov_base, parts[0].iov_len / 2) : 0;
        default: errno = code; return -1;
        }
    return syscall(SYS_writev, descriptor, parts, count);
}

static bool isHere(const struct sockaddr *address) {
    return address->sa_family == AF_UNIX && faults_has_path(((const struct sockaddr_un *)address)->sun_path);
}

int bind(int descriptor, const struct sockaddr *address, socklen_t length) {
    int result = (int)syscall(SYS_bind, descriptor, address, length);
    if (result == 0 && isHere(address)) faults_watch(descriptor, true);
    return result;
}

int connect(int descriptor, const struct sockaddr *address, socklen_t length) {
    bool belongs = isHere(address);
    int code;
    if (belongs) {
        if (faults_count(FAULTS_CONNECT, &code) != FAULTS_PASS) {
            errno = code;
            return -1;
        }
        faults_watch(descriptor, true);
    }
    return (int)syscall(SYS_connect, descriptor, address, length);
}

static bool isListening(int descriptor) {
    if (faults_is_socket(descriptor)) return true;
    int port = faults_port();
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    return port > 0 && syscall(SYS_getsockname, descriptor, &address, &length) == 0 && address.sin_family == AF_INET
        && ntohs(address.sin_port) == port;
}

int accept4(int descriptor, struct sockaddr *restrict address, socklen_t *restrict length, int flags) {
    bool belongs = faults_is_armed() && isListening(descriptor);
    int code;
    if (belongs && faults_count(FAULTS_ACCEPT, &code) != FAULTS_PASS) {
        errno = code;
        return -1;
    }
    int accepted = (int)syscall(SYS_accept4, descriptor, address, length, flags);
    if (accepted >= 0 && belongs) faults_watch(accepted, true);
    return accepted;
}

int accept(int descriptor, struct sockaddr *restrict address, socklen_t *restrict length) {
    return accept4(descriptor, address, length, 0);
}
