import Fuzzing
import Testing

/// Every target with the inputs that are kept, and with a bounded number drawn from a seed: `ops/fuzz` is the long run.
@Suite(.serialized) struct FuzzTests {
    /// The same in every run.
    static let seed: UInt64 = 5
    /// What costs much is tried less.
    static let costly = ["server": 25, "sasl": 100, "client": 250, "portable": 250, "settings": 200]

    @Test(arguments: FuzzTarget.all.map(\.name)) func promisesHold(_ name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let kept = try #require(Corpus.inputs(of: name), "the kept inputs of \(name) cannot be read")
        let fuzzer = Fuzzer(target, kept: kept)
        var report = fuzzer.replay()
        if report.failure == nil {
            let count = Self.costly[name, default: 600]
            report = fuzzer.run(seed: Self.seed) { $0.executions < count }
        }
        if let failure = report.failure {
            Issue.record("\(failure.breach)\ninput \(report.executions) of seed \(Self.seed), in base 64: \(Corpus.text([failure.input]))")
        }
    }

    /// A fuzzer that finds nothing may be blind: this one finds what is there.
    @Test func aBrokenPromiseIsFound() {
        let report = Fuzzer(.broken, kept: []).run(seed: Self.seed) { $0.executions < 20_000 }
        #expect(report.failure?.breach.description == "it says BOOM")
    }

    /// The same seed tries the same inputs.
    @Test func aSeedReplays() {
        let reports = (0..<2).map { _ in Fuzzer(.broken, kept: []).run(seed: 77) { $0.executions < 20_000 } }
        #expect(reports[0].failure?.input == reports[1].failure?.input && reports[0].executions == reports[1].executions)
    }

    @Test func keptInputsComeBack() {
        let inputs: [[UInt8]] = [[], [0], Array(0...255)]
        let folder = Corpus.folder
        #expect(Corpus.inputs(of: "no such target", in: folder) == [])
        #expect(Corpus.text(inputs) == "\nAA==\n\(Corpus.text([inputs[2]]))")
    }
}
