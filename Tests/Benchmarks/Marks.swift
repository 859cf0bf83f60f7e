import Synchronization

// Callgrind counts from the entry of the first of these functions to that of the second (`--zero-before`, `--dump-before`). They have to
// do something that is seen elsewhere, or no call of them would be left.

private let passed = Atomic<Int>(0)

/// What is counted begins.
@inline(never)
func countingBegins() { passed.add(1, ordering: .relaxed) }

/// What is counted is over.
@inline(never)
func countingEnds() { passed.subtract(1, ordering: .relaxed) }
