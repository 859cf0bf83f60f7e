import XMLStream

/// The client's side of stream management (XEP-0198): what it counts, and what it can show.
///
/// Fences of a theatre count on the wire and are nothing that a script sees: what it sees is counted without them.
public struct ClientManagement: Sendable {
    /// The SM-ID; nil when the session cannot be resumed.
    public private(set) var id: String?
    /// What was sent and is not acknowledged, in order.
    public private(set) var unacknowledged: [String] = []
    /// Stanzas the server handled, as its last answer said.
    public private(set) var acknowledged: UInt32 = 0
    /// Stanzas that came.
    public private(set) var received: UInt32 = 0
    /// Answers of the server.
    public private(set) var answers = 0
    /// Stanzas sent since it was enabled.
    public var sent: UInt32 { UInt32(truncatingIfNeeded: sentVisible.count) }
    /// Times the server asked.
    public private(set) var requests = 0
    /// Of all that was sent, and of all that came: whether a script sees it.
    private var sentVisible: [Bool] = []
    private var receivedVisible: [Bool] = []

    /// `<enabled/>` came.
    public private(set) var isEnabled = false

    /// `<enable/>` is sent: what is sent from now on counts.
    init() {}

    /// What comes from now on counts, too.
    mutating func enabled(_ element: Element) {
        isEnabled = true
        id = element["resume"] == "true" || element["resume"] == "1" ? element["id"] : nil
    }

    /// The same session goes on over another stream. Returns what has to be sent again.
    mutating func resumed(_ element: Element) -> [String] {
        if let h = element["h"].flatMap({ UInt32($0) }) { acknowledge(h) }
        return unacknowledged
    }

    /// It says to have received less than came: that will come again.
    mutating func rewind(to h: UInt32) {
        received = h
        receivedVisible.removeLast(max(0, receivedVisible.count - Int(h)))
    }

    /// What is left unacknowledged when the server says that the session is over, and how much it had handled, if it knows.
    public func unacknowledged(after h: UInt32?) -> [String] {
        var copy = self
        if let h { copy.acknowledge(h) }
        return copy.unacknowledged
    }

    mutating func noteSent(_ stanza: String, isVisible: Bool = true) {
        unacknowledged.append(stanza)
        sentVisible.append(isVisible)
    }

    mutating func noteReceived(isVisible: Bool = true) {
        guard isEnabled else { return }
        received &+= 1
        receivedVisible.append(isVisible)
    }

    /// Takes `<a/>` or `<r/>`. False for anything else.
    mutating func take(_ element: Element) -> Bool {
        guard element.namespace == "urn:xmpp:sm:3" else { return false }
        switch element.local {
        case "a":
            answers += 1
            if let h = element["h"].flatMap({ UInt32($0) }) { acknowledge(h) }
            return true
        case "r":
            requests += 1
            return true
        default: return false
        }
    }

    private mutating func acknowledge(_ h: UInt32) {
        let new = Int(h &- acknowledged)
        guard new <= unacknowledged.count else { return }
        unacknowledged.removeFirst(new)
        acknowledged = h
    }

    /// Stanzas of the script that the server handled.
    var visiblyAcknowledged: Int { sentVisible.prefix(Int(acknowledged)).count { $0 } }

    /// The count on the wire for the first `visible` stanzas that the script saw, and the fences behind them; nil: all.
    func count(visible: Int?) -> UInt32 {
        guard let visible else { return received }
        var seen = 0
        for (index, isVisible) in receivedVisible.enumerated() where isVisible {
            if seen == visible { return UInt32(index) }
            seen += 1
        }
        // More than came is the script's wish, too.
        return received &+ UInt32(max(0, visible - seen))
    }
}
