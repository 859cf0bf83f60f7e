public import XMLStream

/// Delayed delivery (XEP-0203): when a stanza was originally sent, and who held it back.
public struct Delay: Hashable, Sendable {
    public static let name = Name("delay", NS.delay)

    public var stamp: DateTime
    /// Who sent or delayed the stanza.
    public var from: JID?
    /// Why, for people.
    public var reason: String?

    public init(stamp: DateTime, from: JID? = nil, reason: String? = nil) {
        self.stamp = stamp
        self.from = from
        self.reason = reason
    }

    /// Reads `<delay/>`; nil when it is another element or has no legal stamp. An illegal `from` is left out.
    public init?(_ element: Element) {
        guard element.is(Self.name), let stamp = element["stamp"].flatMap({ DateTime($0) }) else { return nil }
        let reason = element.text
        self.init(stamp: stamp, from: element["from"].flatMap { try? JID($0) }, reason: reason.isEmpty ? nil : reason)
    }

    public func write(into writer: inout XMLWriter) {
        writer.element("delay", xmlns: NS.delay, ("from", from?.description), ("stamp", stamp.description), text: reason)
    }
}
