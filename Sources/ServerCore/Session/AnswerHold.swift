internal import DequeModule
import Stanzas

/// The answer to a request says that everything its client sent before it is handled: a client without stream management has no
/// other way to know. An answer that comes while an earlier message is not kept yet waits here, and whatever is
/// delivered after it waits behind it, so that nothing changes places.
///
/// Only messages hold an answer back: a request that is itself answered late must not stop the stream.
struct AnswerHold {
    struct Held {
        let stanza: Stanza
        /// The record's number when the account is owed it, 0 otherwise.
        let message: UInt64
        /// The last of the messages that must be handled before it; nil for what only stands behind an answer.
        fileprivate let blocker: UInt32?
    }

    private var waiting: Deque<Held> = []

    var isEmpty: Bool { waiting.isEmpty }
    var count: Int { waiting.count }
    /// The owed messages among what waits.
    var owed: [UInt64] { waiting.compactMap { $0.message != 0 ? $0.message : nil } }

    /// Keeps the stanza when it must wait. Returns false when it may be written now.
    mutating func keeps(_ stanza: Stanza, message: UInt64, _ inbound: InboundLedger) -> Bool {
        let blocker = inbound.blocker(ofAnswer: stanza)
        guard blocker != nil || !waiting.isEmpty else { return false }
        waiting.append(Held(stanza: stanza, message: message, blocker: blocker))
        return true
    }

    /// The next stanza whose time has come.
    mutating func next(_ inbound: InboundLedger) -> Held? {
        guard let first = waiting.first else { return nil }
        if let blocker = first.blocker, inbound.hasUnhandledMessage(through: blocker) { return nil }
        return waiting.removeFirst()
    }

    /// Everything that waits, when the session ends.
    mutating func takeAll() -> [Held] {
        defer { waiting.removeAll() }
        return Array(waiting)
    }
}

extension InboundLedger {
    /// The last message before the request that this stanza answers which is not handled yet; nil when nothing holds the answer back.
    fileprivate func blocker(ofAnswer stanza: Stanza) -> UInt32? {
        guard stanza.kind == .iq, stanza.type == .result || stanza.type == .error, unhandled.count > 1, let id = stanza.id,
            let request = unhandled.lastIndex(where: { $0.stanza.kind == .iq && $0.stanza.id == id })
        else { return nil }
        return unhandled[..<request].last { $0.stanza.kind == .message && !$0.isHandled }?.seq
    }

    /// Whether any message up to a submission is still not handled: they go to different accounts and are done in any order.
    fileprivate func hasUnhandledMessage(through seq: UInt32) -> Bool {
        for entry in unhandled {
            if Int32(bitPattern: seq &- entry.seq) < 0 { return false }
            if entry.stanza.kind == .message, !entry.isHandled { return true }
        }
        return false
    }
}
