#pragma once
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

/// Takes (or tries to take) an OFD write lock on the whole file. Returns 0, or errno (EAGAIN when `wait` is 0 and another process holds it).
int martlet_ofd_lock(int fd, int wait);
/// Releases an OFD lock taken with martlet_ofd_lock. Returns 0 or errno.
int martlet_ofd_unlock(int fd);
/// Opens a pidfd for a process. Returns the descriptor, or -1 with errno set.
int martlet_pidfd_open(pid_t pid);
/// Sends a signal through a pidfd: never reaches a process that reused the number. Returns 0 or errno.
int martlet_pidfd_send_signal(int pidfd, int signal);
/// The credentials of the peer of a connected Unix socket. Returns 0 or errno.
int martlet_peer_credentials(int fd, pid_t *pid, uid_t *uid, gid_t *gid);
/// Binds a socket to a numeric IPv4 or IPv6 address. Returns 0, or -1 with errno set. In C because Swift's importer gives the fields of
/// `sockaddr_in` now to one module and now to another.
int martlet_bind(int fd, const char *address, uint16_t port);
/// Exchanges the names of two files or folders in one step, so that neither name is ever missing. Returns 0 or errno.
int martlet_exchange(const char *one, const char *other);
/// Whether the machine's clock is kept by somebody (adjtimex). Returns 1 when it is, 0 when it is not, or -1 with errno set.
/// `worst` gets how wrong it may be, in microseconds.
int martlet_clock_synchronised(int64_t *worst);
