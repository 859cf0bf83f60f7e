#define _GNU_SOURCE
#include "CShimsStoreFaults.h"
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

/* What the handlers say. Two of each, so that one can be written anew while the other is read. */
enum { longest = 1024 };
static char unreadable[2][longest];
static char damaged[2][longest];
static atomic_int current;

/* Where the code of liblmdb lies. Written before the handlers are there. */
enum { most_ranges = 4 };
static uintptr_t code_from[most_ranges], code_to[most_ranges];
static int ranges;

static const int watched[] = {SIGBUS, SIGSEGV, SIGFPE, SIGABRT};
enum { watched_count = sizeof watched / sizeof watched[0] };
static struct sigaction before[watched_count];
static atomic_flag is_installed = ATOMIC_FLAG_INIT;

static int note_code(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size;
    (void)unused;
    if (object->dlpi_name == NULL || strstr(object->dlpi_name, "liblmdb") == NULL) return 0;
    for (int i = 0; i < object->dlpi_phnum && ranges < most_ranges; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        code_from[ranges] = object->dlpi_addr + part->p_vaddr;
        code_to[ranges] = code_from[ranges] + part->p_memsz;
        ranges++;
    }
    return 0;
}

static int is_code(uintptr_t address) {
    for (int i = 0; i < ranges; i++) {
        if (address >= code_from[i] && address < code_to[i]) return 1;
    }
    return 0;
}

/* Whether liblmdb, or what it called, was at work: its code is where the thread stands, or among the nearest return addresses. */
static int was_in_store(const ucontext_t *context) {
    uintptr_t at, stack;
#if defined(__x86_64__)
    at = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
    stack = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
    at = context->uc_mcontext.pc;
    stack = context->uc_mcontext.sp;
    if (is_code(context->uc_mcontext.regs[30])) return 1;
#else
    return 0;
#endif
    if (is_code(at)) return 1;
    /* Copied by the kernel, which stops at the end of the stack where a read of our own would fail. */
    uintptr_t words[64];
    stack &= ~(uintptr_t)(sizeof words[0] - 1);
    for (int piece = 0; piece < 6; piece++) {
        struct iovec here = {words, sizeof words};
        struct iovec there = {(void *)(stack + (uintptr_t)piece * sizeof words), sizeof words};
        if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != (ssize_t)sizeof words) return 0;
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            if (is_code(words[i])) return 1;
        }
    }
    return 0;
}

static void say(const char *sentence) {
    ssize_t written = write(STDERR_FILENO, sentence, strlen(sentence));
    (void)written;
}

/* Says what it knows and leaves the rest to who was to handle the signal before: the process dies of it. */
static void tell(int signal, siginfo_t *info, void *context) {
    int saved = errno;
    int version = atomic_load(&current);
    /* What somebody sent says nothing about the file. abort() sends too, to its own thread. */
    int is_fault = info->si_code > 0 || (signal == SIGABRT && info->si_code == SI_TKILL);
    if (is_fault && signal == SIGBUS) {
        say(unreadable[version]);
    } else if (is_fault && was_in_store(context)) {
        say(damaged[version]);
    }
    for (int i = 0; i < watched_count; i++) {
        if (watched[i] == signal) sigaction(signal, &before[i], NULL);
    }
    /* The access that failed fails again. What somebody sent does not come again by itself. */
    if (signal == SIGABRT || info->si_code <= 0) raise(signal);
    errno = saved;
}

int martlet_explain_store_faults(const char *reading, const char *using) {
    int next = 1 - atomic_load(&current);
    snprintf(unreadable[next], longest, "%s\n", reading);
    snprintf(damaged[next], longest, "%s\n", using);
    atomic_store(&current, next);
    if (atomic_flag_test_and_set(&is_installed)) return 0;
    dl_iterate_phdr(note_code, NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = tell;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < watched_count; i++) {
        if (sigaction(watched[i], &action, &before[i]) != 0) return errno;
    }
    return 0;
}

void martlet_store_assertion(struct MDB_env *environment, const char *message) {
    (void)environment;
    char sentence[longest + 256];
    const char *known = damaged[atomic_load(&current)];
    /* Without its line feed. */
    int length = (int)strlen(known);
    if (length > 0) length--;
    snprintf(sentence, sizeof sentence, "%.*s (%.200s)\n", length, known, message == NULL ? "no more is known" : message);
    say(sentence);
    _exit(1);
}
