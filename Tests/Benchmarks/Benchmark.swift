/// One operation that is counted.
struct Benchmark: Sendable {
    /// What `ops/benchmark` and `thresholds.txt` call it.
    let name: String
    /// Operations that are counted; as many again go before them and are not, until caches are full.
    var rounds = 1_000
    /// So many times as many are timed, where time is measured.
    var timedFactor = 20
    /// Operations that one call does.
    var operations = 1
    /// Makes all that is needed; what it returns does it once (`operations` times).
    let prepare: @Sendable () throws -> () throws -> Void

    /// All of them, in the order in which they are shown.
    static let all: [Benchmark] = texts + routing + stores + steps
}

/// Why a benchmark cannot be trusted: what it does is not what it is for.
struct Broken: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
