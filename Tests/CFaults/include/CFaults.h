#pragma once
#include <stddef.h>
#include <stdint.h>

/// The seam under everything that the server asks of the system and of liblmdb. This object defines the functions of libc and of liblmdb
/// that can fail, so the linker binds to them whatever is in a test program: the server's own calls, NIO's and those within liblmdb.
/// They pass everything on, until a plan is armed; then those that belong to it are counted, and the one that the plan names fails.
/// A program without this object, as martletd is, has no seam at all.

/// The calls.
enum {
    FAULTS_OPEN, FAULTS_READ, FAULTS_WRITE, FAULTS_SYNC, FAULTS_TRUNCATE, FAULTS_MAP, FAULTS_LOCK, FAULTS_MAKE_DIRECTORY, FAULTS_NAME,
    FAULTS_REMOVE, FAULTS_LOOK, FAULTS_PIPE, FAULTS_THREAD,
    FAULTS_LMDB_OPEN, FAULTS_LMDB_BEGIN, FAULTS_LMDB_READ, FAULTS_LMDB_WRITE, FAULTS_LMDB_COMMIT, FAULTS_LMDB_COPY,
    FAULTS_CONNECT, FAULTS_ACCEPT, FAULTS_RECEIVE, FAULTS_SEND,
    FAULTS_KINDS
};

/// Instead of an error: half of what is to be written is written.
#define FAULTS_SHORT (-1)
/// Instead of an error: the connection is at its end, for this call and all later ones of it.
#define FAULTS_RESET (-2)

/// Counts calls: those with a path that starts with `prefix`, with a file opened there, with an environment of liblmdb that lies there,
/// with a socket bound or connected to a path there, with a connection accepted at the TCP port `port` (0: none), and, where nothing of
/// it can be seen, those of the calling thread. The call with the number `nth` (from 1; 0: none) fails with `code`: an error number,
/// a result of liblmdb, or one of the above. Plans before are forgotten.
void faults_arm(const char *prefix, int port, uint64_t nth, int code);
/// Calls of these kinds, a bit for each by its number, never fail: where calls come in another order than when they were counted, the one
/// with the number may be one of them. For all plans until it is said anew.
void faults_spare(uint64_t kinds);
/// As `faults_arm`, but a connection is at its end, once, when so many bytes were received, or sent, through all of them together.
void faults_arm_bytes(const char *prefix, int port, int kind, uint64_t bytes);
/// Ends the plan. Returns the calls that were counted.
uint64_t faults_disarm(void);
/// The kind of the call that failed; -1: none did.
int faults_fired(void);
/// The kind of the counted call with a number; -1: none, or not remembered.
int faults_kind(uint64_t number);
/// Bytes received, or sent, by connections since the plan was armed.
uint64_t faults_bytes(int kind);
