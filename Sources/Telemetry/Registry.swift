import Synchronization

/// Why an instrument could not be registered. All of them are mistakes in code, found at the start of the process.
public enum RegistrationError: Error, Equatable, Sendable {
    /// A name must match `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    case badName(String)
    /// A label must match `[a-zA-Z_][a-zA-Z0-9_]*`, not begin with `__`, not be `le`, and stand once.
    case badLabel(String)
    /// The name of a counter ends in `_total`, that of anything else does not.
    case badSuffix(String)
    /// The name is registered already, with another kind or another help text.
    case conflict(String)
    /// The very same name and labels are registered already.
    case duplicate(String)
}

/// The instruments of one process, in the order they were registered.
///
/// Registration and reading take a lock; the instruments themselves never do. One family has one name, one kind and one
/// help text, and as many instruments as there are sets of labels.
public final class Registry: Sendable {
    /// One label of an instrument: name and value.
    public typealias Label = (name: String, value: String)

    enum Kind: String, Sendable { case counter, gauge, histogram }

    /// One line of a family whose labels are not known before somebody reads.
    public struct Sample: Sendable {
        var labels: [Label]
        var value: Double

        public init(_ labels: [Label], _ value: Double) {
            self.labels = labels
            self.value = value
        }
    }

    enum Instrument: Sendable {
        case counter(Counter)
        case gauge(Gauge)
        case histogram(Histogram)
        case reading(@Sendable () -> Double)
        case tally(@Sendable () -> UInt64)
        case distribution(Distribution.Unit, shown: ClosedRange<Int>, @Sendable () -> Distribution)
        /// Its labels come with the values; the entry has none.
        case samples(@Sendable () -> [Sample])
    }

    struct Entry: Sendable {
        /// `name="value",…`, escaped once here; empty without labels.
        var labels: String
        var instrument: Instrument
    }

    struct Family: Sendable {
        var name: String
        var help: String
        var kind: Kind
        var entries: [Entry]
    }

    private let families = Mutex<[Family]>([])

    /// A registry without instruments.
    public init() {}

    /// Registers a counter. Its name ends in `_total`.
    public func counter(_ name: String, help: String, labels: [Label] = []) throws(RegistrationError) -> Counter {
        let counter = Counter()
        try add(.counter(counter), kind: .counter, name, help, labels)
        return counter
    }

    /// Registers a gauge.
    public func gauge(_ name: String, help: String, labels: [Label] = []) throws(RegistrationError) -> Gauge {
        let gauge = Gauge()
        try add(.gauge(gauge), kind: .gauge, name, help, labels)
        return gauge
    }

    /// Registers a gauge whose value is asked for when somebody reads: `read` runs on the reader's thread.
    public func reading(
        _ name: String, help: String, labels: [Label] = [], _ read: @escaping @Sendable () -> Double
    ) throws(RegistrationError) {
        try add(.reading(read), kind: .gauge, name, help, labels)
    }

    /// Registers a counter whose value is asked for when somebody reads. Its name ends in `_total`, and it never falls.
    public func tally(
        _ name: String, help: String, labels: [Label] = [], _ read: @escaping @Sendable () -> UInt64
    ) throws(RegistrationError) {
        try add(.tally(read), kind: .counter, name, help, labels)
    }

    /// Registers a family of gauges, or of counters when its name ends in `_total`, whose labels and values are asked for when somebody
    /// reads. A family without a sample is not shown; of two samples with the same labels only the first is.
    public func samples(_ name: String, help: String, _ read: @escaping @Sendable () -> [Sample]) throws(RegistrationError) {
        try add(.samples(read), kind: name.hasSuffix("_total") ? .counter : .gauge, name, help, [])
    }

    /// Registers a histogram that is asked for when somebody reads, as the sum over several loops is.
    public func distribution(
        _ name: String, help: String, labels: [Label] = [], unit: Distribution.Unit, shown: ClosedRange<Int> = 6...26,
        _ read: @escaping @Sendable () -> Distribution
    ) throws(RegistrationError) {
        let shown = shown.clamped(to: 0...(Distribution.bucketCount - 1))
        try add(.distribution(unit, shown: shown, read), kind: .histogram, name, help, labels)
    }

    /// Registers a histogram.
    /// - Parameters:
    ///   - unit: what `observe` is given.
    ///   - shown: the exponents of two (0…63, clamped) whose bounds are shown. The default for microseconds is 64 µs to 67 s.
    public func histogram(
        _ name: String, help: String, labels: [Label] = [], unit: Distribution.Unit, shown: ClosedRange<Int> = 6...26
    ) throws(RegistrationError) -> Histogram {
        let histogram = Histogram(unit: unit, shown: shown.clamped(to: 0...(Distribution.bucketCount - 1)))
        try add(.histogram(histogram), kind: .histogram, name, help, labels)
        return histogram
    }

    private func add(
        _ instrument: Instrument, kind: Kind, _ name: String, _ help: String, _ labels: [Label]
    ) throws(RegistrationError) {
        guard Registry.isName(name, colons: true) else { throw .badName(name) }
        guard name.hasSuffix("_total") == (kind == .counter) else { throw .badSuffix(name) }
        var seen = Set<String>()
        for label in labels {
            let reserved = label.name.hasPrefix("__") || label.name == "le"
            guard Registry.isName(label.name, colons: false), !reserved, seen.insert(label.name).inserted else {
                throw .badLabel(label.name)
            }
        }
        let entry = Entry(
            labels: Self.text(of: labels), instrument: instrument)
        let failure: RegistrationError? = families.withLock { families in
            guard let index = families.firstIndex(where: { $0.name == name }) else {
                families.append(Family(name: name, help: help, kind: kind, entries: [entry]))
                return nil
            }
            guard families[index].kind == kind, families[index].help == help else { return .conflict(name) }
            guard !families[index].entries.contains(where: { $0.labels == entry.labels }) else { return .duplicate(name) }
            families[index].entries.append(entry)
            return nil
        }
        if let failure { throw failure }
    }

    /// All families as they stand; the values are read by the caller, outside the lock.
    func all() -> [Family] { families.withLock { $0 } }

    /// Labels as they stand between the braces.
    static func text(of labels: [Label]) -> String {
        labels.map { "\($0.name)=\"\(Exposition.escape($0.value, quotes: true))\"" }.joined(separator: ",")
    }

    private static func isName(_ text: String, colons: Bool) -> Bool {
        guard let first = text.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"):
                true
            case UInt8(ascii: ":"): colons
            default: false
            }
        }
    }
}
