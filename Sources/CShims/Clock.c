#include "CShimsClock.h"
#include <sys/timex.h>

int martlet_clock_state(int *is_synchronized, long *error_microseconds) {
    struct timex state = {0};
    int result = adjtimex(&state);
    if (result < 0) return -1;
    *is_synchronized = result != TIME_ERROR;
    *error_microseconds = state.esterror;
    return 0;
}
