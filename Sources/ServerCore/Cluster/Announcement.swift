public import Stanzas
import Store
import XMLStream

/// What a host has to say to its users.
public struct Announcement: Sendable, Equatable {
    /// The name of the call that says it to one account, at its home; answered with the number of sessions that can get it now.
    public static let call = "announcement"
    /// Bytes of subject and text together.
    public static let bound = 10_000

    public enum Audience: UInt8, Sendable {
        /// Whoever has a session, and nobody later: a headline, which is neither kept nor archived.
        case online = 0
        /// Also whoever comes back later.
        case everybody = 1
    }

    /// The domain that it comes from.
    public var host: JID
    public var subject: String
    public var text: String
    public var audience: Audience
    /// Its origin-id (XEP-0359): an account that is told again after a takeover has it once.
    public var id: String

    public init(from host: JID, subject: String = "", text: String, audience: Audience, id: String = "") {
        self.host = host
        self.subject = subject
        self.text = text
        self.audience = audience
        self.id = id
    }

    /// Why it cannot be said; nil when it can.
    public var refusal: String? {
        if text.allSatisfy(\.isWhitespace) { return "there is no text" }
        if text.utf8.count + subject.utf8.count > Self.bound { return "subject and text are longer than \(Self.bound) bytes" }
        // XML 1.0 §2.2
        let isLegal = (subject + text).unicodeScalars.allSatisfy { scalar in
            scalar.value >= 0x20 && scalar.value != 0xFFFE && scalar.value != 0xFFFF || "\t\n\r".unicodeScalars.contains(scalar)
        }
        return isLegal ? nil : "the text has control characters, which XML does not know"
    }

    /// The message, for one address or, without it, for many.
    public func stanza(to: JID? = nil) -> Stanza {
        var xml = XMLWriter()
        if !subject.isEmpty { xml.element("subject", text: subject) }
        xml.element("body", text: text)
        if !id.isEmpty { xml.empty("origin-id", xmlns: NS.stanzaID, ("id", id)) }
        let payload = (try? Payload(xml.bytes)) ?? Payload(written: xml.bytes)
        return Stanza(
            kind: .message, type: audience == .online ? .headline : .normal, id: id.isEmpty ? nil : id, from: host, to: to,
            payload: payload.detached())
    }

    /// The call's argument.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.string(host.description)
        writer.string(subject)
        writer.string(text)
        writer.uint8(audience.rawValue)
        writer.string(id)
        return writer.bytes
    }

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let domain = try? reader.string(), let host = try? JID(domain), let subject = try? reader.string(),
            let text = try? reader.string(), let code = try? reader.uint8(), let audience = Audience(rawValue: code),
            let id = try? reader.string()
        else { return nil }
        self.init(from: host, subject: subject, text: text, audience: audience, id: id)
    }
}

extension Account {
    static func registerAnnouncements(in registration: inout Registration) {
        registration.call(Announcement.call) { argument, turn, result in
            guard let announcement = Announcement(argument) else { return result.reply(.failed("the announcement cannot be read")) }
            result.reply(turn.account.receive(announcement))
        }
    }

    /// As any message from outside would come in; what a sender would be told is the answer.
    private func receive(_ announcement: Announcement) -> CommandResult {
        if record?.isEnabled == false { return .failed("\(jid) is disabled and gets nothing") }
        if isBlocked(announcement.host) { return .failed("\(jid) has blocked \(announcement.host)") }
        let receivers = resources.count { $0.isAvailable && $0.priority >= 0 }
        let stanza = announcement.stanza(to: jid)
        if announcement.audience == .everybody, receivers == 0, !recent.contains(origin: originHash(of: stanza)), inboxIsFull() != nil {
            return .failed("the inbox of \(jid) is full (offline.messages, offline.bytes)")
        }
        incoming(stanza, nil)
        return .done(receivers)
    }
}
