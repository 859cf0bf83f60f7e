/// The Prometheus text format, version 0.0.4: `# HELP`, `# TYPE` and one line a sample, families in the order of their
/// registration.
public enum Exposition {
    /// The value of `Content-Type` for the text.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Everything the registry holds, as it stands now.
    public static func text(of registry: Registry) -> String {
        var text = ""
        for family in registry.all() {
            var body = ""
            for entry in family.entries { write(entry, family.name, into: &body) }
            // Nothing is said of a family that has nothing to show now.
            guard !body.isEmpty else { continue }
            text += "# HELP \(family.name) \(escape(family.help, quotes: false))\n"
            text += "# TYPE \(family.name) \(family.kind.rawValue)\n"
            text += body
        }
        return text
    }

    private static func write(_ entry: Registry.Entry, _ name: String, into text: inout String) {
        switch entry.instrument {
        case .counter(let counter): line(name, entry.labels, "\(counter.value)", into: &text)
        case .gauge(let gauge): line(name, entry.labels, "\(gauge.value)", into: &text)
        case .reading(let read): line(name, entry.labels, number(read()), into: &text)
        case .tally(let read): line(name, entry.labels, "\(read())", into: &text)
        case .histogram(let histogram):
            write(histogram.reading, histogram.unit, histogram.shown, name, entry.labels, into: &text)
        case .distribution(let unit, let shown, let read): write(read(), unit, shown, name, entry.labels, into: &text)
        case .samples(let read):
            var seen = Set<String>()
            for sample in read() {
                let labels = Registry.text(of: sample.labels)
                if seen.insert(labels).inserted { line(name, labels, number(sample.value), into: &text) }
            }
        }
    }

    private static func write(
        _ reading: Distribution, _ unit: Distribution.Unit, _ shown: ClosedRange<Int>, _ name: String, _ labels: String,
        into text: inout String
    ) {
        let prefix = labels.isEmpty ? "" : labels + ","
        var below: UInt64 = 0
        for (exponent, count) in reading.counts.enumerated() {
            below &+= count
            guard shown.contains(exponent) else { continue }
            // 2^63 units is counted in the last bucket together with everything above: it has no honest bound but +Inf.
            guard exponent < Distribution.bucketCount - 1 else { continue }
            let bound = number(Double(UInt64(1) << UInt64(exponent)) * unit.scale)
            line(name + "_bucket", prefix + "le=\"\(bound)\"", "\(below)", into: &text)
        }
        line(name + "_bucket", prefix + "le=\"+Inf\"", "\(below)", into: &text)
        line(name + "_sum", labels, number(Double(reading.sum) * unit.scale), into: &text)
        line(name + "_count", labels, "\(below)", into: &text)
    }

    private static func line(_ name: String, _ labels: String, _ value: String, into text: inout String) {
        text += labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
    }

    /// A float as the format wants it: `NaN`, `+Inf`, `-Inf`, whole numbers without a fraction.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
        return "\(value)"
    }

    /// Escapes a help text (backslash, line feed) or a label's value (these and the quote).
    static func escape(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
