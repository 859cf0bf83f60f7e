internal import Glibc
internal import TestKit

/// Drives a target with inputs drawn from a seed: the same inputs in every run, on every machine.
public struct Fuzzer {
    /// What a run came to.
    public struct Report: Sendable {
        public var executions = 0
        /// The input that broke a promise, and which.
        public var failure: (input: [UInt8], breach: Breach)?
    }

    private let target: FuzzTarget
    /// What it begins with.
    public let inputs: [[UInt8]]
    private let mutator: Mutator

    /// - Parameter kept: inputs besides the target's own seeds.
    public init(_ target: FuzzTarget, kept: [[UInt8]]) {
        self.target = target
        inputs = target.seeds() + kept
        mutator = Mutator(words: target.words, longest: target.longest)
    }

    /// Tries the seeds and what is kept, as they are.
    public func replay() -> Report {
        var report = Report()
        for input in inputs where report.failure == nil { attempt(input, &report) }
        return report
    }

    /// Tries changed inputs until one breaks a promise or `goesOn` says no.
    public func run(seed: UInt64, while goesOn: (Report) -> Bool) -> Report {
        var chance = Chance(seed: seed)
        var report = Report()
        while report.failure == nil, goesOn(report) {
            let (one, other) = inputs.isEmpty ? ([], []) : (inputs[chance.below(inputs.count)], inputs[chance.below(inputs.count)])
            attempt(mutator.mutated(one, other, &chance), &report)
        }
        return report
    }

    private func attempt(_ input: [UInt8], _ report: inout Report) {
        report.executions += 1
        Blackbox.note(input)
        do throws(Breach) {
            try target.run(input)
        } catch {
            report.failure = (input, error)
        }
    }
}

/// Says what was being tried when the process dies.
public enum Blackbox {
    // One thread fuzzes; the handler reads what that thread wrote.
    nonisolated(unsafe) private static let input = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    nonisolated(unsafe) private static var count = 0
    nonisolated(unsafe) private static var path: UnsafeMutablePointer<CChar>?
    private static let capacity = 1 << 20

    /// From now on the input at hand is written to this file when the process is about to die.
    public static func arm(writing file: String) {
        path = strdup(file)
        for signal in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { signal in Blackbox.tell(signal) }
            action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
            sigaction(signal, &action, nil)
        }
    }

    static func note(_ bytes: [UInt8]) {
        count = min(bytes.count, capacity)
        bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { input.update(from: base, count: count) } }
    }

    private static func tell(_ signal: Int32) {
        guard let path else { return }
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        if file >= 0 {
            _ = write(file, input, count)
            close(file)
            _ = write(2, "\nmartlet-fuzz: it trapped; the input is in ", 43)
            _ = write(2, path, strlen(path))
            _ = write(2, "\n", 1)
        }
        raise(signal)
    }
}
