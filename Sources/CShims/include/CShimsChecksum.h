#pragma once
#include <stddef.h>
#include <stdint.h>

/// Whether this processor has an instruction for CRC-32C.
int martlet_has_crc32c(void);
/// CRC-32C of `count` bytes by that instruction, continuing `crc` (inverted before and after by the caller).
uint32_t martlet_crc32c(uint32_t crc, const void *bytes, size_t count);
