#define _GNU_SOURCE
#include "Plan.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define DESCRIPTORS 65536
#define REMEMBERED 65536

enum { WATCHED = 1, SOCKET = 2, CUT = 4 };

// Written only while no plan is armed; `armed` publishes it.
static char prefix[512];
static size_t prefixLength;
static int port;
static uint64_t nth;
static int failure;
static _Atomic int boundKind;
static uint64_t bound;

static atomic_bool armed;
static atomic_uint generation;
static atomic_ullong calls;
static atomic_int fired;
static atomic_ullong received, sent;
static atomic_ullong spared;
static _Atomic unsigned char descriptors[DESCRIPTORS];
static _Atomic signed char kinds[REMEMBERED];
static _Thread_local unsigned ownGeneration;

static void begin(const char *path, int tcp) {
    atomic_store(&armed, false);
    prefixLength = strlen(path) < sizeof prefix ? strlen(path) : sizeof prefix - 1;
    memcpy(prefix, path, prefixLength);
    prefix[prefixLength] = 0;
    port = tcp;
    atomic_store(&calls, 0);
    atomic_store(&fired, -1);
    atomic_store(&received, 0);
    atomic_store(&sent, 0);
    for (int i = 0; i < DESCRIPTORS; i++) atomic_store_explicit(&descriptors[i], 0, memory_order_relaxed);
    for (int i = 0; i < REMEMBERED; i++) atomic_store_explicit(&kinds[i], -1, memory_order_relaxed);
    ownGeneration = atomic_fetch_add(&generation, 1) + 1;
}

void faults_spare(uint64_t kindBits) { atomic_store(&spared, kindBits); }

void faults_arm(const char *path, int tcp, uint64_t number, int code) {
    begin(path, tcp);
    nth = number;
    failure = code;
    boundKind = -1;
    atomic_store(&armed, true);
}

void faults_arm_bytes(const char *path, int tcp, int kind, uint64_t bytes) {
    begin(path, tcp);
    nth = 0;
    boundKind = kind;
    bound = bytes;
    atomic_store(&armed, true);
}

uint64_t faults_disarm(void) {
    atomic_store(&armed, false);
    return atomic_load(&calls);
}

int faults_fired(void) { return atomic_load(&fired); }

int faults_kind(uint64_t number) {
    return number >= 1 && number <= REMEMBERED && number <= atomic_load(&calls) ? atomic_load(&kinds[number - 1]) : -1;
}

uint64_t faults_bytes(int kind) { return atomic_load(kind == FAULTS_SEND ? &sent : &received); }

bool faults_is_armed(void) { return atomic_load_explicit(&armed, memory_order_acquire); }
int faults_port(void) { return faults_is_armed() ? port : 0; }

bool faults_has_path(const char *path) {
    return path && faults_is_armed() && prefixLength > 0 && strncmp(path, prefix, prefixLength) == 0;
}

bool faults_has_thread(void) { return faults_is_armed() && ownGeneration == atomic_load(&generation); }

static unsigned char state(int descriptor) {
    if (descriptor < 0 || descriptor >= DESCRIPTORS || !faults_is_armed()) return 0;
    return atomic_load_explicit(&descriptors[descriptor], memory_order_relaxed);
}

bool faults_has_file(int descriptor) { return state(descriptor) & WATCHED; }
bool faults_is_socket(int descriptor) { return state(descriptor) & SOCKET; }
bool faults_is_cut(int descriptor) { return state(descriptor) & CUT; }

void faults_watch(int descriptor, bool isSocket) {
    if (descriptor >= 0 && descriptor < DESCRIPTORS) atomic_store(&descriptors[descriptor], isSocket ? SOCKET : WATCHED);
}

void faults_cut(int descriptor) {
    if (descriptor >= 0 && descriptor < DESCRIPTORS) atomic_fetch_or(&descriptors[descriptor], CUT);
}

void faults_forget(int descriptor) {
    if (descriptor >= 0 && descriptor < DESCRIPTORS) atomic_store_explicit(&descriptors[descriptor], 0, memory_order_relaxed);
}

enum faults_verdict faults_count(int kind, int *code) {
    uint64_t number = atomic_fetch_add(&calls, 1) + 1;
    if (number <= REMEMBERED) atomic_store_explicit(&kinds[number - 1], (signed char)kind, memory_order_relaxed);
    if (number != nth || (atomic_load(&spared) >> kind & 1)) return FAULTS_PASS;
    atomic_store(&fired, kind);
    // Where calls come in another order than when they were counted: what no kernel does is not done here either.
    if (failure == EAGAIN && (kind == FAULTS_RECEIVE || kind == FAULTS_ACCEPT)) return FAULTS_PASS;
    if (kind == FAULTS_ACCEPT && failure != ECONNABORTED && failure != EMFILE) {
        *code = ECONNABORTED;
        return FAULTS_FAIL;
    }
    if (failure == FAULTS_SHORT) {
        if (kind == FAULTS_WRITE || kind == FAULTS_SEND || kind == FAULTS_RECEIVE) return FAULTS_HALVE;
        *code = EIO;
        return FAULTS_FAIL;
    }
    if (failure == FAULTS_RESET) {
        if (kind == FAULTS_SEND || kind == FAULTS_RECEIVE) return FAULTS_CUT;
        *code = ECONNRESET;
        return FAULTS_FAIL;
    }
    *code = failure;
    return FAULTS_FAIL;
}

bool faults_spend(int kind) {
    // Once: those who come back find everything in order.
    if (!atomic_compare_exchange_strong(&boundKind, &(int){kind}, -1)) return false;
    atomic_store(&fired, kind);
    return true;
}

size_t faults_allowance(int kind) {
    if (boundKind != kind) return SIZE_MAX;
    uint64_t passed = faults_bytes(kind);
    return passed < bound ? (size_t)(bound - passed) : 0;
}

void faults_passed(int kind, ssize_t bytes) {
    if (bytes > 0) atomic_fetch_add(kind == FAULTS_SEND ? &sent : &received, (uint64_t)bytes);
}
