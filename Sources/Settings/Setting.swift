/// What a value must be.
public enum SettingKind: Equatable, Sendable {
    case flag
    /// An integer in the range; the unit is a word for the documentation ("bytes", "seconds"), or empty.
    case integer(ClosedRange<Int>, unit: String)
    /// One of these texts.
    case choice([String])
    /// One or more of these texts, each once, in an order that counts.
    case choices([String])
    case text(SettingShape)
    case texts(SettingShape)
    /// A table in which each of these keys may have one of these texts.
    case table(keys: [String], values: [String])
}

/// What a text must look like.
public enum SettingShape: Equatable, Sendable {
    /// Anything on one line that is not empty.
    case line
    /// Anything on one line; empty: none.
    case optionalLine
    /// A file or directory; empty: none. A relative one counts from the directory of the configuration file.
    case path
    /// `address:port`, the address an IPv4 literal or an IPv6 literal in brackets.
    case address
    /// An address as above, or `unix:` and the path of a socket, which counts from the directory of the configuration file.
    case endpoint
    case nodeName
    /// A domain; ASCII letters are made small.
    case domain
    /// `user@host`.
    case bareJID
    /// `HH:MM`.
    case timeOfDay
    /// A host, with a port or without (RFC 6120 §4.9.3.19); empty: none.
    case location
    /// An address of the web; empty: none.
    case link
    /// A URI with its scheme.
    case uri
}

/// A value as the file gives it.
enum SettingValue: Equatable, Sendable {
    case flag(Bool)
    case integer(Int)
    case text(String)
    case texts([String])
    case table([String: String])
}

/// One key of the configuration file: what it is called, what it may be, what it is good for, and where its value lives.
///
/// `Root` is `Settings`, `Settings.Host` for the keys of a `[[host]]`, or `Settings.Component`.
public struct Setting<Root: Sendable>: Sendable {
    /// The table and the name: `limits.depth`. The keys of a host have no table.
    public let key: String
    /// What its value must be.
    public let kind: SettingKind
    /// One or more sentences.
    public let doc: String
    /// Whether a running node can take a new value. All others count from the next start.
    public let isLive: Bool
    let get: @Sendable (Root) -> SettingValue
    let set: @Sendable (inout Root, SettingValue) -> Void

    /// The table the key stands in, empty for none.
    var table: String { key.utf8.firstIndex(of: UInt8(ascii: ".")).map { String(key[..<$0]) } ?? "" }
    /// The key without its table.
    var name: String { key.utf8.firstIndex(of: UInt8(ascii: ".")).map { String(key[key.utf8.index(after: $0)...]) } ?? key }

    /// The value as it is written in TOML.
    public func text(of root: Root) -> String { Setting.text(get(root)) }

    static func text(_ value: SettingValue) -> String {
        switch value {
        case .flag(let flag): "\(flag)"
        case .integer(let integer): "\(integer)"
        case .text(let text): TOMLText.quote(text)
        case .texts(let texts): "[\(texts.map(TOMLText.quote).joined(separator: ", "))]"
        case .table(let pairs):
            pairs.isEmpty
                ? "{}" : "{ \(pairs.sorted { $0.key < $1.key }.map { "\($0.key) = \(TOMLText.quote($0.value))" }.joined(separator: ", ")) }"
        }
    }

    /// What to write, for error sentences and the sample.
    var expectation: String { kind.expectation }
}

extension SettingKind {
    /// What to write, for error sentences and the sample.
    var expectation: String {
        switch self {
        case .flag: "true or false"
        case .integer(let range, let unit): "a number from \(range.lowerBound) to \(range.upperBound)" + (unit.isEmpty ? "" : " (\(unit))")
        case .choice(let texts): "one of \(texts.map(TOMLText.quote).joined(separator: ", "))"
        case .choices(let texts): "an array of some of \(texts.map(TOMLText.quote).joined(separator: ", ")), each once"
        case .text(let shape): "\(shape.words)"
        case .texts(let shape): "an array, each of it \(shape.words)"
        case .table(let keys, let values):
            "a table, as { \(keys.first ?? "") = \(TOMLText.quote(values.first ?? "")) }, with keys of \(keys.joined(separator: ", ")) and values of \(values.joined(separator: ", "))"
        }
    }
}

extension SettingShape {
    /// What to write.
    var words: String {
        switch self {
        case .line, .optionalLine: "a text on one line"
        case .path: "a path, as \"data\" or \"/var/lib/martlet\""
        case .address: "an address and port, as \"127.0.0.1:5222\" or \"[::1]:5222\""
        case .endpoint: "an address and port, as \"127.0.0.1:9280\" or \"[::1]:9280\", or a socket, as \"unix:/run/martlet/http.sock\""
        case .nodeName: "a name of 1 to 32 letters a-z, digits and '-'"
        case .domain: "a domain, as \"example.org\""
        case .bareJID: "a bare JID, as \"admin@example.org\""
        case .timeOfDay: "a time of day from \"00:00\" to \"23:59\""
        case .location: "a host, with a port or without, as \"xmpp1.example.org:5222\" or \"[2001:db8::1]:5222\""
        case .link: "an address, as \"https://example.org/join\", or nothing"
        case .uri: "a URI, as \"mailto:abuse@example.org\", \"xmpp:admin@example.org\" or \"https://example.org/help\""
        }
    }

    /// The text as it is kept; `nil` when it has not this shape.
    func accept(_ text: String) -> String? {
        switch self {
        case .line: !text.isEmpty && TextShape.isLine(text) ? text : nil
        case .optionalLine: TextShape.isLine(text) && text.utf8.count <= 1000 ? text : nil
        case .path: TextShape.isLine(text) && text.utf8.count <= 4000 ? text : nil
        case .address: ListenAddress(text) == nil ? nil : text
        case .endpoint: MonitoringAddress(text) == nil ? nil : text
        case .nodeName: Settings.isNodeName(text) ? text : nil
        case .domain: TextShape.domain(text)
        case .bareJID: TextShape.isBareJID(text) ? text : nil
        case .timeOfDay: Settings.Backup.minuteOfDay(text) == nil ? nil : text
        case .location: text.isEmpty || TextShape.isLocation(text) ? text : nil
        case .link: text.isEmpty || TextShape.isLink(text) ? text : nil
        case .uri: TextShape.isURI(text) ? text : nil
        }
    }
}

extension Setting {
    static func flag(_ key: String, _ path: any WritableKeyPath<Root, Bool> & Sendable, live: Bool = false, _ doc: String) -> Setting {
        Setting(key: key, kind: .flag, doc: doc, isLive: live, get: { .flag($0[keyPath: path]) }) { root, value in
            if case .flag(let flag) = value { root[keyPath: path] = flag }
        }
    }

    static func integer(
        _ key: String, _ path: any WritableKeyPath<Root, Int> & Sendable, _ range: ClosedRange<Int>, _ unit: String, live: Bool = false,
        _ doc: String
    ) -> Setting {
        Setting(key: key, kind: .integer(range, unit: unit), doc: doc, isLive: live, get: { .integer($0[keyPath: path]) }) { root, value in
            if case .integer(let integer) = value { root[keyPath: path] = integer }
        }
    }

    static func choice<E: RawRepresentable<String> & CaseIterable & Sendable>(
        _ key: String, _ path: any WritableKeyPath<Root, E> & Sendable, live: Bool = false, _ doc: String
    ) -> Setting {
        Setting(key: key, kind: .choice(E.allCases.map(\.rawValue)), doc: doc, isLive: live, get: { .text($0[keyPath: path].rawValue) }) {
            root, value in
            if case .text(let text) = value, let chosen = E(rawValue: text) { root[keyPath: path] = chosen }
        }
    }

    static func text(
        _ key: String, _ path: any WritableKeyPath<Root, String> & Sendable, _ kind: SettingKind, live: Bool = false, _ doc: String
    ) -> Setting {
        Setting(key: key, kind: kind, doc: doc, isLive: live, get: { .text($0[keyPath: path]) }) { root, value in
            if case .text(let text) = value { root[keyPath: path] = text }
        }
    }

    static func table(
        _ key: String, _ path: any WritableKeyPath<Root, [String: String]> & Sendable, keys: [String], values: [String],
        live: Bool = false, _ doc: String
    ) -> Setting {
        Setting(key: key, kind: .table(keys: keys, values: values), doc: doc, isLive: live, get: { .table($0[keyPath: path]) }) {
            root, value in
            if case .table(let pairs) = value { root[keyPath: path] = pairs }
        }
    }

    static func texts(
        _ key: String, _ path: any WritableKeyPath<Root, [String]> & Sendable, _ kind: SettingKind, live: Bool = false, _ doc: String
    ) -> Setting {
        Setting(key: key, kind: kind, doc: doc, isLive: live, get: { .texts($0[keyPath: path]) }) { root, value in
            if case .texts(let texts) = value { root[keyPath: path] = texts }
        }
    }
}
