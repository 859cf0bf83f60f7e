import Testing

@testable import Telemetry

@Suite struct InstrumentTests {
    @Test func aCounterCountsFromManyTasks() async throws {
        let counter = try Registry().counter("events_total", help: "Events.")
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<1000 { counter.increment() } }
            }
        }
        counter.increment(by: 5)
        #expect(counter.value == 8005)
    }

    @Test func aCounterWrapsAndDoesNotTrap() throws {
        let counter = try Registry().counter("events_total", help: "Events.")
        counter.increment(by: .max)
        counter.increment(by: 3)
        #expect(counter.value == 2)
    }

    @Test func aGaugeGoesBothWays() throws {
        let gauge = try Registry().gauge("sessions", help: "Sessions.")
        gauge.add()
        gauge.add(4)
        gauge.add(-2)
        #expect(gauge.value == 3)
        gauge.set(-7)
        #expect(gauge.value == -7)
    }

    @Test(
        arguments: [
            (0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11), (1 << 62, 62), ((1 << 62) + 1, 63), (1 << 63, 63),
            (.max, 63),
        ] as [(UInt64, Int)])
    func everyValueHasItsBucket(value: UInt64, bucket: Int) {
        #expect(Distribution.bucket(of: value) == bucket)
    }

    @Test func theBoundOfAShareIsTheQuantileRoundedUp() throws {
        let histogram = try Registry().histogram("sizes", help: "Sizes.", unit: .one)
        #expect(histogram.bound(of: 0.5) == nil)
        for value in 1...100 as ClosedRange<UInt64> { histogram.observe(value) }
        #expect(histogram.count == 100)
        #expect(histogram.sum == 5050)
        #expect(histogram.bound(of: 0) == 1)
        #expect(histogram.bound(of: 0.5) == 64)
        #expect(histogram.bound(of: 0.99) == 128)
        #expect(histogram.bound(of: 7) == 128)
    }
}
