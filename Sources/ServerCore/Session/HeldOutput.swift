internal import DequeModule
import Stanzas

/// What waits for an answer that would say too much: to its client, the answer to a request means that everything sent before the
/// request is handled (DESIGN §4), and some of that is not. What came behind the answer waits with it, so nothing overtakes.
struct HeldOutput {
    private struct Held {
        let stanza: Stanza
        let message: UInt64
        /// The number of the request this answers; nil when it only stands behind an answer.
        let request: UInt32?
    }

    private var waiting: Deque<Held> = []
    /// Payload bytes that wait.
    private(set) var bytes = 0

    var isEmpty: Bool { waiting.isEmpty }
    var count: Int { waiting.count }

    mutating func append(_ stanza: Stanza, message: UInt64, request: UInt32?) {
        waiting.append(Held(stanza: stanza, message: message, request: request))
        bytes += stanza.payload.bytes.count
    }

    /// The next stanza that may leave now.
    mutating func next(_ inbound: InboundLedger) -> (stanza: Stanza, message: UInt64)? {
        guard let first = waiting.first else { return nil }
        if let request = first.request, inbound.isBehindUnhandled(request) { return nil }
        waiting.removeFirst()
        bytes -= first.stanza.payload.bytes.count
        return (first.stanza, first.message)
    }

    /// Owed messages among it.
    var owed: [UInt64] { waiting.compactMap { $0.message == 0 ? nil : $0.message } }

    /// Takes everything out; returns the stanzas that nobody keeps.
    mutating func takeUnkept() -> [Stanza] {
        defer {
            waiting.removeAll()
            bytes = 0
        }
        return waiting.compactMap { $0.message == 0 && $0.stanza.isMissedWhenLost ? $0.stanza : nil }
    }
}

extension InboundLedger {
    /// The number of the open request that a stanza answers, when something before that request is unhandled.
    func unreadyRequest(answeredBy stanza: Stanza) -> UInt32? {
        guard stanza.kind == .iq, stanza.type == .result || stanza.type == .error, unhandled.count > 1 else { return nil }
        let index = unhandled.firstIndex { $0.stanza.kind == .iq && $0.stanza.id == stanza.id && $0.stanza.mayBeAnswered }
        guard let index, index > 0 else { return nil }
        return unhandled[index].seq
    }

    /// Whether something that was submitted before `seq` is unhandled.
    func isBehindUnhandled(_ seq: UInt32) -> Bool {
        guard let first = unhandled.first else { return false }
        return first.seq != seq && Int(seq &- first.seq) < unhandled.count
    }
}
