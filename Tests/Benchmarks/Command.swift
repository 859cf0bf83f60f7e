import Glibc
import ServerCore

/// Runs benchmarks: `martlet-benchmark [--list | --time] [NAME…]`.
///
/// Under callgrind, as `ops/benchmark` calls it, each is one dump of costs, in the order of the names that are printed.
@main struct Command {
    static func main() {
        var names = Array(CommandLine.arguments.dropFirst())
        let option = names.first.flatMap { $0.hasPrefix("--") ? $0 : nil }
        if option != nil { names.removeFirst() }
        let known = Benchmark.all
        if let unknown = names.first(where: { name in !known.contains { $0.name == name } }) { fail("there is no benchmark \(unknown)") }
        let chosen = names.isEmpty ? known : known.filter { names.contains($0.name) }
        switch option {
        case nil: for benchmark in chosen { run(benchmark, timed: false) }
        case "--time": for benchmark in chosen { run(benchmark, timed: true) }
        case "--list": for benchmark in chosen { print(benchmark.name) }
        default: fail("martlet-benchmark [--list | --time] [NAME…]")
        }
    }

    /// Does one benchmark and says how many operations were counted, or how many nanoseconds each took.
    private static func run(_ benchmark: Benchmark, timed: Bool) {
        do {
            let operation = try benchmark.prepare()
            for _ in 0..<benchmark.rounds { try operation() }
            let rounds = timed ? benchmark.rounds * benchmark.timedFactor : benchmark.rounds
            let start = MonotonicTime.now
            countingBegins()
            for _ in 0..<rounds { try operation() }
            countingEnds()
            let nanoseconds = MonotonicTime.now.nanoseconds - start.nanoseconds
            let operations = rounds * benchmark.operations
            print("\(benchmark.name) \(timed ? Int(nanoseconds) / operations : operations)")
        } catch {
            fail("\(benchmark.name): \(error)")
        }
    }

    private static func fail(_ text: String) -> Never {
        let line = Array("martlet-benchmark: \(text)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        exit(1)
    }
}
