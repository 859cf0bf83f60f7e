#include "CShimsChecksum.h"

#include <string.h>

#if defined(__x86_64__)

int martlet_has_crc32c(void) { return __builtin_cpu_supports("sse4.2") != 0; }

__attribute__((target("sse4.2"))) uint32_t martlet_crc32c(uint32_t crc, const void *bytes, size_t count) {
    const unsigned char *at = bytes;
    uint64_t sum = crc;
    for (; count >= 8; count -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sum = __builtin_ia32_crc32di(sum, word);
    }
    uint32_t rest = (uint32_t)sum;
    for (; count > 0; count--, at++) rest = __builtin_ia32_crc32qi(rest, *at);
    return rest;
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif

int martlet_has_crc32c(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }

__attribute__((target("crc"))) uint32_t martlet_crc32c(uint32_t crc, const void *bytes, size_t count) {
    const unsigned char *at = bytes;
    for (; count >= 8; count -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = __builtin_arm_crc32cd(crc, word);
    }
    for (; count > 0; count--, at++) crc = __builtin_arm_crc32cb(crc, *at);
    return crc;
}

#else

int martlet_has_crc32c(void) { return 0; }
uint32_t martlet_crc32c(uint32_t crc, const void *bytes, size_t count) {
    (void)bytes;
    (void)count;
    return crc;
}

#endif
