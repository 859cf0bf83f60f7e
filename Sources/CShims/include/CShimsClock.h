#pragma once

/// What the kernel believes of the machine's clock: whether something keeps it right (NTP), and by how many microseconds it may be wrong.
/// Returns 0, or -1 where the kernel may not be asked.
int martlet_clock_state(int *is_synchronized, long *error_microseconds);
