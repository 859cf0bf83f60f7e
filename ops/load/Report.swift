import Glibc

/// One line of JSON, put together field by field.
struct JSONLine {
    private(set) var text = "{"

    mutating func add(_ key: String, _ value: some BinaryInteger) { put(key, "\(value)") }
    /// With three digits behind the point.
    mutating func add(_ key: String, _ value: Double) {
        let thousandths = Int((max(0, min(value, 1e12)) * 1_000).rounded())
        let rest = String(thousandths % 1_000)
        put(key, "\(thousandths / 1_000).\(String(repeating: "0", count: 3 - rest.utf8.count))\(rest)")
    }
    mutating func add(_ key: String, _ value: String) {
        var quoted = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\u{0}"..<" ": quoted += " "
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        put(key, quoted + "\"")
    }
    /// Percentiles in microseconds.
    mutating func add(_ key: String, _ histogram: Histogram) {
        var inner = JSONLine()
        inner.add("count", histogram.count)
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            inner.add(name, histogram.percentile(share) / 1_000)
        }
        inner.add("max", histogram.highest / 1_000)
        put(key, inner.closed)
    }
    private mutating func put(_ key: String, _ value: String) {
        if text.utf8.count > 1 { text += "," }
        text += "\"\(key)\":\(value)"
    }
    var closed: String { text + "}" }
}

/// What came out: what was measured, and whether every promise was kept.
struct Outcome {
    var line = JSONLine()
    var lost: UInt64 = 0
    var duplicates = 0
    var reordered = 0

    mutating func count(_ sequence: ReceivedSequence, sent: UInt64) {
        lost += sequence.missing(of: sent)
        duplicates += sequence.duplicates
        reordered += sequence.reordered
    }

    /// Prints the line and ends: with 1 where something was lost, doubled or reordered, or went wrong.
    func end(_ crew: Crew) -> Never {
        var line = line
        line.add("sessions", crew.sessions.count)
        line.add("login_us", crew.logins)
        if crew.resumptions.count > 0 { line.add("resume_us", crew.resumptions) }
        line.add("lost", lost)
        line.add("duplicates", duplicates)
        line.add("reordered", reordered)
        line.add("errors", crew.problems)
        line.add("load_cpu_seconds", Self.processorSeconds)
        line.add("load_memory_mib", Self.memory >> 20)
        print(line.closed)
        exit(lost == 0 && duplicates == 0 && reordered == 0 && crew.problems == 0 ? 0 : 1)
    }

    private static var usage: rusage {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage
    }
    private static var processorSeconds: Double {
        let usage = usage
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }
    /// The most that this process ever had, in bytes.
    private static var memory: Int { usage.ru_maxrss << 10 }
}
