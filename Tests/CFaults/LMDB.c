// The functions of liblmdb that can fail, as this program has them.
#define _GNU_SOURCE
#include "Plan.h"
#include <dlfcn.h>
#include <lmdb.h>

#define NEXT(name)                                                                                                                        \
    static __typeof__(name) *next;                                                                                                        \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define COUNT(belongs, kind)                                                                                                              \
    do {                                                                                                                                  \
        int code;                                                                                                                         \
        if ((belongs) && faults_count((kind), &code) != FAULTS_PASS) return code;                                                         \
    } while (0)

// liblmdb calls its own functions, and the system, under these: what it does there is counted where it does it.
static _Thread_local int depth;

static bool hasEnvironment(MDB_env *env) {
    const char *path = NULL;
    return depth == 0 && faults_is_armed() && mdb_env_get_path(env, &path) == MDB_SUCCESS && faults_has_path(path);
}

static bool hasTransaction(MDB_txn *transaction) { return faults_is_armed() && hasEnvironment(mdb_txn_env(transaction)); }

#define CALL(...)                                                                                                                         \
    do {                                                                                                                                  \
        depth++;                                                                                                                          \
        int result = next(__VA_ARGS__);                                                                                                   \
        depth--;                                                                                                                          \
        return result;                                                                                                                    \
    } while (0)

int mdb_env_create(MDB_env **env) {
    NEXT(mdb_env_create);
    COUNT(faults_has_thread(), FAULTS_LMDB_OPEN);
    CALL(env);
}

int mdb_env_open(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode) {
    NEXT(mdb_env_open);
    COUNT(faults_has_path(path), FAULTS_LMDB_OPEN);
    CALL(env, path, flags, mode);
}

int mdb_env_set_mapsize(MDB_env *env, size_t size) {
    NEXT(mdb_env_set_mapsize);
    COUNT(hasEnvironment(env), FAULTS_LMDB_OPEN);
    CALL(env, size);
}

int mdb_dbi_open(MDB_txn *transaction, const char *name, unsigned flags, MDB_dbi *database) {
    NEXT(mdb_dbi_open);
    COUNT(hasTransaction(transaction), FAULTS_LMDB_OPEN);
    CALL(transaction, name, flags, database);
}

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **transaction) {
    NEXT(mdb_txn_begin);
    COUNT(hasEnvironment(env), FAULTS_LMDB_BEGIN);
    CALL(env, parent, flags, transaction);
}

int mdb_txn_renew(MDB_txn *transaction) {
    NEXT(mdb_txn_renew);
    COUNT(hasTransaction(transaction), FAULTS_LMDB_BEGIN);
    CALL(transaction);
}

int mdb_txn_commit(MDB_txn *transaction) {
    NEXT(mdb_txn_commit);
    int code;
    if (hasTransaction(transaction) && faults_count(FAULTS_LMDB_COMMIT, &code) != FAULTS_PASS) {
        // One that failed is gone too.
        mdb_txn_abort(transaction);
        return code;
    }
    CALL(transaction);
}

int mdb_get(MDB_txn *transaction, MDB_dbi database, MDB_val *key, MDB_val *value) {
    NEXT(mdb_get);
    COUNT(hasTransaction(transaction), FAULTS_LMDB_READ);
    CALL(transaction, database, key, value);
}

int mdb_cursor_open(MDB_txn *transaction, MDB_dbi database, MDB_cursor **cursor) {
    NEXT(mdb_cursor_open);
    COUNT(hasTransaction(transaction), FAULTS_LMDB_READ);
    CALL(transaction, database, cursor);
}

int mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op operation) {
    NEXT(mdb_cursor_get);
    COUNT(depth == 0 && faults_is_armed() && hasTransaction(mdb_cursor_txn(cursor)), FAULTS_LMDB_READ);
    CALL(cursor, key, value, operation);
}

int mdb_put(MDB_txn *transaction, MDB_dbi database, MDB_val *key, MDB_val *value, unsigned flags) {
    NEXT(mdb_put);
    COUNT(hasTransaction(transaction), FAULTS_LMDB_WRITE);
    CALL(transaction, database, key, value, flags);
}

int mdb_del(MDB_txn *transaction, MDB_dbi database, MDB_val *key, MDB_val *value) {
    NEXT(mdb_del);
    COUNT(hasTransaction(transaction), FAULTS_LMDB_WRITE);
    CALL(transaction, database, key, value);
}

int mdb_env_copyfd2(MDB_env *env, mdb_filehandle_t descriptor, unsigned flags) {
    NEXT(mdb_env_copyfd2);
    COUNT(hasEnvironment(env), FAULTS_LMDB_COPY);
    CALL(env, descriptor, flags);
}
