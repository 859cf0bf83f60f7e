#pragma once
#include <ares.h>
#include <netdb.h>
#include <arpa/inet.h>

// Milliseconds until the next question is given up or repeated; `most` when nothing is asked. In C because Swift's importer gives the
// fields of `timeval` now to one module and now to another.
static inline int martlet_ares_wait(ares_channel channel, int most) {
    struct timeval limit = {most / 1000, (most % 1000) * 1000}, next;
    struct timeval *wait = ares_timeout(channel, &limit, &next);
    return (int)(wait->tv_sec * 1000 + wait->tv_usec / 1000) + 1;
}
