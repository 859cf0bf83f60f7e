import Synchronization
import Testing

@testable import Telemetry

/// What is asked for when somebody reads.
@Suite struct AskedTests {
    @Test func whatLoopsCountIsSummedWhenItIsRead() throws {
        let registry = Registry()
        let counters = [LoopCounter(), LoopCounter()]
        let histograms = [LoopHistogram(), LoopHistogram()]
        try registry.tally("events_total", help: "Events.", labels: [("kind", "a")]) { counters.reduce(0) { $0 &+ $1.value } }
        try registry.distribution("times_seconds", help: "Times.", unit: .microseconds, shown: 0...1) {
            histograms.reduce(into: Distribution()) { $0 += $1.reading }
        }
        counters[0].increment()
        counters[1].increment(by: 4)
        histograms[0].observe(1)
        histograms[1].observe(2)
        histograms[1].observe(1_000_000)
        #expect(
            Exposition.text(of: registry) == """
                # HELP events_total Events.
                # TYPE events_total counter
                events_total{kind="a"} 5
                # HELP times_seconds Times.
                # TYPE times_seconds histogram
                times_seconds_bucket{le="1e-06"} 1
                times_seconds_bucket{le="2e-06"} 2
                times_seconds_bucket{le="+Inf"} 3
                times_seconds_sum 1.000003
                times_seconds_count 3

                """)
        #expect(throws: RegistrationError.badSuffix("events")) { try registry.tally("events", help: "") { 0 } }
    }

    @Test func readingsAreAddedAndSubtracted() {
        let histogram = LoopHistogram()
        for value in 1...100 as ClosedRange<UInt64> { histogram.observe(value) }
        let before = histogram.reading
        for _ in 0..<3 { histogram.observe(5_000) }
        let since = histogram.reading - before
        #expect(since.count == 3 && since.sum == 15_000 && since.bound(of: 0.5) == 8_192)
        #expect(Distribution().bound(of: 0.5) == nil)
        #expect(before.bound(of: 0.99) == 128)
    }

    @Test func labelsThatComeWithTheValues() throws {
        let registry = Registry()
        let peers = Mutex([("b", 1.0), ("c", 0.5), ("b", 9)])
        let shared = Shared(peers)
        try registry.samples("link_up", help: "Links.") { shared.value.withLock { $0.map { Registry.Sample([("peer", $0.0)], $0.1) } } }
        try registry.samples("seen_total", help: "Seen.") { [Registry.Sample([], 7)] }
        #expect(
            Exposition.text(of: registry) == """
                # HELP link_up Links.
                # TYPE link_up gauge
                link_up{peer="b"} 1
                link_up{peer="c"} 0.5
                # HELP seen_total Seen.
                # TYPE seen_total counter
                seen_total 7

                """)
        // Nothing is said of a family without a sample.
        shared.value.withLock { $0 = [] }
        #expect(Exposition.text(of: registry) == "# HELP seen_total Seen.\n# TYPE seen_total counter\nseen_total 7\n")
    }

    @Test func theProcessKnowsItself() throws {
        let registry = Registry()
        try ProcessMetrics.register(in: registry)
        let text = Exposition.text(of: registry)
        func value(_ name: String) -> Double? {
            text.split(separator: "\n").first { $0.hasPrefix(name + " ") }.flatMap { Double($0.dropFirst(name.count + 1)) }
        }
        #expect(try #require(value("process_cpu_seconds_total")) > 0)
        #expect(try #require(value("process_resident_memory_bytes")) > 100_000)
        #expect(try #require(value("martlet_memory_bytes")) > 100_000)
        #expect(try #require(value("process_open_fds")) >= 3)
        #expect(try #require(value("process_max_fds")) >= 3)
        #expect(try #require(value("process_threads")) >= 1)
        // After 2020, and not in the future.
        #expect(try #require(value("process_start_time_seconds")) > 1_577_836_800)
        #expect(text.contains("martlet_thread_cpu_seconds_total{thread="))
    }

    private final class Shared<Value: ~Copyable & Sendable>: Sendable {
        let value: Value
        init(_ value: consuming Value) { self.value = value }
    }
}
