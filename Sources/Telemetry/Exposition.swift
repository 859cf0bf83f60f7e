/// The Prometheus text format, version 0.0.4: `# HELP`, `# TYPE` and one line a sample, families in the order of their
/// registration.
public enum Exposition {
    /// The value of `Content-Type` for the text.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Everything the registry holds, as it stands now.
    public static func text(of registry: Registry) -> String {
        var text = ""
        for family in registry.all() {
            text += "# HELP \(family.name) \(escape(family.help, quotes: false))\n"
            text += "# TYPE \(family.name) \(family.kind.rawValue)\n"
            for entry in family.entries {
                switch entry.instrument {
                case .counter(let counter): line(family.name, entry.labels, "\(counter.value)", into: &text)
                case .gauge(let gauge): line(family.name, entry.labels, "\(gauge.value)", into: &text)
                case .reading(let read): line(family.name, entry.labels, number(read()), into: &text)
                case .histogram(let histogram): write(histogram, family.name, entry.labels, into: &text)
                }
            }
        }
        return text
    }

    private static func write(_ histogram: Histogram, _ name: String, _ labels: String, into text: inout String) {
        let counts = histogram.snapshot()
        let scale = histogram.unit.scale
        let prefix = labels.isEmpty ? "" : labels + ","
        var below: UInt64 = 0
        for (exponent, count) in counts.enumerated() {
            below &+= count
            guard histogram.shown.contains(exponent) else { continue }
            // 2^63 units is counted in the last bucket together with everything above: it has no honest bound but +Inf.
            guard exponent < Histogram.bucketCount - 1 else { continue }
            let bound = number(Double(UInt64(1) << UInt64(exponent)) * scale)
            line(name + "_bucket", prefix + "le=\"\(bound)\"", "\(below)", into: &text)
        }
        line(name + "_bucket", prefix + "le=\"+Inf\"", "\(below)", into: &text)
        line(name + "_sum", labels, number(Double(histogram.sum) * scale), into: &text)
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
