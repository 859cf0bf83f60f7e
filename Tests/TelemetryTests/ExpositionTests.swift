import Testing

@testable import Telemetry

@Suite struct ExpositionTests {
    @Test func theTextIsThePrometheusFormat() throws {
        let registry = Registry()
        let inbound = try registry.counter(
            "martlet_stanzas_total", help: "Stanzas by direction.", labels: [("direction", "in"), ("host", "a\"b\\c\nd")])
        let outbound = try registry.counter("martlet_stanzas_total", help: "Stanzas by direction.", labels: [("direction", "out")])
        let sessions = try registry.gauge("martlet_sessions", help: "Sessions\nof this \\ node.")
        try registry.reading("martlet_load", help: "Load.") { 0.5 }
        let commits = try registry.histogram("martlet_commit_seconds", help: "Commit time.", unit: .microseconds, shown: 9...11)
        inbound.increment(by: 3)
        outbound.increment()
        sessions.set(-2)
        for value in [10, 512, 513, 2000, 5000] as [UInt64] { commits.observe(value) }
        #expect(
            Exposition.text(of: registry) == #"""
                # HELP martlet_stanzas_total Stanzas by direction.
                # TYPE martlet_stanzas_total counter
                martlet_stanzas_total{direction="in",host="a\"b\\c\nd"} 3
                martlet_stanzas_total{direction="out"} 1
                # HELP martlet_sessions Sessions\nof this \\ node.
                # TYPE martlet_sessions gauge
                martlet_sessions -2
                # HELP martlet_load Load.
                # TYPE martlet_load gauge
                martlet_load 0.5
                # HELP martlet_commit_seconds Commit time.
                # TYPE martlet_commit_seconds histogram
                martlet_commit_seconds_bucket{le="0.000512"} 2
                martlet_commit_seconds_bucket{le="0.001024"} 3
                martlet_commit_seconds_bucket{le="0.002048"} 4
                martlet_commit_seconds_bucket{le="+Inf"} 5
                martlet_commit_seconds_sum 0.008035
                martlet_commit_seconds_count 5

                """#)
    }

    @Test func labelsOfAHistogramStandBeforeTheBound() throws {
        let registry = Registry()
        let sizes = try registry.histogram("sizes", help: "Sizes.", labels: [("lane", "bulk")], unit: .one, shown: 0...0)
        sizes.observe(1)
        #expect(
            Exposition.text(of: registry).contains("sizes_bucket{lane=\"bulk\",le=\"1\"} 1\nsizes_bucket{lane=\"bulk\",le=\"+Inf\"} 1\n"))
    }

    @Test func theLastBucketIsShownAsInfinityOnly() throws {
        let registry = Registry()
        let sizes = try registry.histogram("sizes", help: "Sizes.", unit: .one, shown: 62...90)
        sizes.observe(.max)
        let text = Exposition.text(of: registry)
        #expect(text.contains("sizes_bucket{le=\"4.611686018427388e+18\"} 0\nsizes_bucket{le=\"+Inf\"} 1\n"))
    }

    @Test func numbersThatAreNotFiniteHaveTheirNames() {
        #expect(Exposition.number(.nan) == "NaN")
        #expect(Exposition.number(.infinity) == "+Inf")
        #expect(Exposition.number(-.infinity) == "-Inf")
        #expect(Exposition.number(3) == "3")
        #expect(Exposition.number(1e300) == "1e+300")
    }

    @Test func registrationRefusesWhatPrometheusWouldRefuse() throws {
        let registry = Registry()
        #expect(throws: RegistrationError.badName("1x")) { try registry.gauge("1x", help: "") }
        #expect(throws: RegistrationError.badName("")) { try registry.gauge("", help: "") }
        #expect(throws: RegistrationError.badName("a-b")) { try registry.gauge("a-b", help: "") }
        #expect(throws: RegistrationError.badSuffix("events")) { try registry.counter("events", help: "") }
        #expect(throws: RegistrationError.badSuffix("x_total")) { try registry.gauge("x_total", help: "") }
        #expect(throws: RegistrationError.badLabel("le")) { try registry.gauge("g", help: "", labels: [("le", "1")]) }
        #expect(throws: RegistrationError.badLabel("__x")) { try registry.gauge("g", help: "", labels: [("__x", "1")]) }
        #expect(throws: RegistrationError.badLabel("a:b")) { try registry.gauge("g", help: "", labels: [("a:b", "1")]) }
        #expect(throws: RegistrationError.badLabel("a")) { try registry.gauge("g", help: "", labels: [("a", "1"), ("a", "2")]) }
        _ = try registry.gauge("g", help: "G.", labels: [("a", "1")])
        #expect(throws: RegistrationError.duplicate("g")) { try registry.gauge("g", help: "G.", labels: [("a", "1")]) }
        #expect(throws: RegistrationError.conflict("g")) { try registry.gauge("g", help: "Other.", labels: [("a", "2")]) }
        #expect(throws: RegistrationError.conflict("g")) { try registry.histogram("g", help: "G.", unit: .one) }
        #expect(Exposition.text(of: registry) == "# HELP g G.\n# TYPE g gauge\ng{a=\"1\"} 0\n")
    }
}
