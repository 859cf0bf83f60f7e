public import XMLStream

/// Message processing hints (XEP-0334 §4).
public struct Hints: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Not into any archive or log.
    public static let noPermanentStore = Hints(rawValue: 1 << 0)
    /// Not kept at all, not even for a client that is offline.
    public static let noStore = Hints(rawValue: 1 << 1)
    /// Not to any address but the one it is for.
    public static let noCopy = Hints(rawValue: 1 << 2)
    /// Worth keeping although the rules would not.
    public static let store = Hints(rawValue: 1 << 3)

    private static let names: [(Hints, String)] = [
        (.noPermanentStore, "no-permanent-store"), (.noStore, "no-store"), (.noCopy, "no-copy"), (.store, "store"),
    ]

    /// The hints among the children of a message.
    public init(in message: XMLStream.Element) {
        self = []
        for child in message.children where child.namespace == NS.hints {
            if let hint = Self.names.first(where: { $0.1 == child.local })?.0 { insert(hint) }
        }
    }

    /// Writes one element a hint.
    public func write(into writer: inout XMLWriter) {
        for (hint, name) in Self.names where contains(hint) { writer.empty(name, xmlns: NS.hints) }
    }
}
