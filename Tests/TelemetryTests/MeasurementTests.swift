import Telemetry
import Testing

/// Readings of chosen families, and what lies between two of them.
@Suite struct MeasurementTests {
    @Test func whatHappenedBetweenTwoReadings() throws {
        let registry = Registry()
        let counter = try registry.counter("things_total", help: "Things.", labels: [("kind", "a")])
        let other = try registry.counter("things_total", help: "Things.", labels: [("kind", "b")])
        let gauge = try registry.gauge("level", help: "A level.")
        let histogram = try registry.histogram("took_seconds", help: "Took.", unit: .microseconds)
        _ = try registry.counter("unasked_total", help: "Nobody asks.")
        counter.increment(by: 5)
        gauge.set(3)
        histogram.observe(1_000)
        let names: Set<String> = ["things_total", "level", "took_seconds", "nothing"]
        let before = registry.measure(names)
        counter.increment(by: 2)
        other.increment()
        gauge.set(9)
        histogram.observe(100)
        let between = registry.measure(names).since(before)
        #expect(between.sum("things_total") == 3)
        #expect(between.number("things_total", "kind", "a") == 2)
        #expect(between.number("things_total", "kind", "c") == 0)
        #expect(between.sum("level") == 9)
        #expect(between.distribution("took_seconds").count == 1)
        #expect(between.distribution("took_seconds").bound(of: 0.5) == 128)
        #expect(between.distribution("took_seconds", "loop", "1").count == 0)
        #expect(between.sum("unasked_total") == 0 && between.sum("nothing") == 0)
        // A process that began anew counts from nothing.
        #expect(before.since(registry.measure(names)).sum("things_total") == 5)
    }

    @Test func bucketsThatAreMissingAreEmpty() {
        #expect(Distribution(counts: [1], sum: 1).counts.count == Distribution.bucketCount)
        #expect(Distribution(counts: [UInt64](repeating: 1, count: 100), sum: 1).counts.count == Distribution.bucketCount)
    }
}
