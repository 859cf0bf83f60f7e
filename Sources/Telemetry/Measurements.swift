/// What some families of a registry held when they were read, as numbers: to be compared with an earlier reading, or sent.
public struct Measurements: Sendable, Equatable {
    /// Counters and gauges: by the name of the family, then by its labels as `name="value",…`.
    public var numbers: [String: [String: Double]] = [:]
    /// Histograms, in the unit observed.
    public var distributions: [String: [String: Distribution]] = [:]

    /// Nothing read.
    public init() {}

    /// A counter or gauge summed over its labels; 0 when it is not there.
    public func sum(_ name: String) -> Double { numbers[name]?.values.reduce(0, +) ?? 0 }

    /// A counter or gauge with this label; 0 when it is not there.
    public func number(_ name: String, _ label: String, _ value: String) -> Double {
        let wanted = "\(label)=\"\(value)\""
        return numbers[name]?.reduce(0) { sum, entry in
            entry.key.split(separator: ",").contains { $0 == wanted } ? sum + entry.value : sum
        } ?? 0
    }

    /// A histogram summed over its labels, or over those with one label.
    public func distribution(_ name: String, _ label: String? = nil, _ value: String = "") -> Distribution {
        let wanted = label.map { "\($0)=\"\(value)\"" }
        return (distributions[name] ?? [:]).reduce(into: Distribution()) { sum, entry in
            if wanted.map({ wanted in entry.key.split(separator: ",").contains { $0 == wanted } }) ?? true { sum += entry.value }
        }
    }

    /// What was counted since an earlier reading: of histograms all, of numbers those that only grow (`…_total`); the others as they are.
    /// Where the process began anew meanwhile, what it counted since.
    public func since(_ before: Measurements) -> Measurements {
        var left = self
        for (name, values) in numbers where name.hasSuffix("_total") {
            for (labels, value) in values {
                let earlier = before.numbers[name]?[labels] ?? 0
                left.numbers[name]?[labels] = value >= earlier ? value - earlier : value
            }
        }
        for (name, values) in distributions {
            for (labels, value) in values {
                guard let earlier = before.distributions[name]?[labels], earlier.count <= value.count else { continue }
                left.distributions[name]?[labels] = value - earlier
            }
        }
        return left
    }
}

extension Registry {
    /// Reads the families of these names; those that are not registered are left out.
    public func measure(_ names: Set<String>) -> Measurements {
        var all = Measurements()
        for family in families(named: names) {
            for entry in family.entries {
                switch entry.instrument {
                case .counter(let counter): all.numbers[family.name, default: [:]][entry.labels] = Double(counter.value)
                case .gauge(let gauge): all.numbers[family.name, default: [:]][entry.labels] = Double(gauge.value)
                case .reading(let read): all.numbers[family.name, default: [:]][entry.labels] = read()
                case .tally(let read): all.numbers[family.name, default: [:]][entry.labels] = Double(read())
                case .histogram(let histogram): all.distributions[family.name, default: [:]][entry.labels] = histogram.reading
                case .distribution(_, shown: _, let read): all.distributions[family.name, default: [:]][entry.labels] = read()
                case .samples(let read):
                    for sample in read() {
                        let labels = sample.labels.map { "\($0.name)=\"\($0.value)\"" }.joined(separator: ",")
                        all.numbers[family.name, default: [:]][labels] = sample.value
                    }
                }
            }
        }
        return all
    }

    private func families(named names: Set<String>) -> [Family] { all().filter { names.contains($0.name) } }
}
