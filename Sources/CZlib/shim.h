#pragma once
#include <zlib.h>

// The initialisers of zlib are macros, which Swift does not see.

// Any window the peer may have chosen (RFC 1950 §2.2).
static inline int martlet_inflate_init(z_stream *stream) { return inflateInit2(stream, 15); }

// A window of 4 KiB and small tables: 40 KiB a stream instead of 268 KiB, for stanzas that are seldom longer.
static inline int martlet_deflate_init(z_stream *stream) {
    return deflateInit2(stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 12, 5, Z_DEFAULT_STRATEGY);
}
