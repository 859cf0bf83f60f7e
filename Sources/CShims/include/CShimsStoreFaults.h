#pragma once

struct MDB_env;

/// What the process writes to standard error before a signal ends it, each of at most 1,022 bytes: `reading` when a mapped file cannot be read
/// (SIGBUS), `using` when liblmdb fails within its own pages (SIGSEGV, SIGFPE, SIGABRT). Other faults are left alone. Whoever handled these signals before still
/// does, behind it. A later call replaces the sentences. Returns 0 or errno.
int martlet_explain_store_faults(const char *reading, const char *using);
/// For `mdb_env_set_assert`: writes the second sentence and what liblmdb says to standard error and ends the process with 1. It holds locks
/// and has half changed pages in its hands: nothing else is safe.
void martlet_store_assertion(struct MDB_env *environment, const char *message);
