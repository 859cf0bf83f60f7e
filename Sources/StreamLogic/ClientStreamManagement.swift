public import Stanzas
public import XMLStream

/// Stream management (XEP-0198): who may say what when. The counting is the session's.
extension ClientStream {
    private static let enable = Name("enable", NS.streamManagement)
    private static let resume = Name("resume", NS.streamManagement)
    private static let request = Name("r", NS.streamManagement)
    private static let answer = Name("a", NS.streamManagement)

    /// What an element of stream management asks for.
    public enum Management: Equatable, Sendable {
        /// Begin to count, write `<enabled/>`. `max`: the client's preferred seconds.
        case enable(resume: Bool, max: Int?)
        /// Ask for the session; its outcome comes in through `resumed` or `resumeRefused`.
        case resume(previd: String, h: UInt32)
        /// Answer with `<a/>`.
        case answer
        /// The client has handled so many stanzas.
        case acknowledged(UInt32)
        /// Write `<failed/>`, and end the stream if there is a closing.
        case fail(StanzaError.Condition, Closing?)
    }

    /// An element of the namespace came, between the first features and the end.
    mutating func receiveManagement(_ element: Element) -> Management {
        if element.is(Self.enable) { return receiveEnable(element) }
        if element.is(Self.resume) { return receiveResume(element) }
        // Acknowledgements before `<enable/>`, and what this side alone may say.
        guard isManaged, state == .ready else { return misuse(.unexpectedRequest) }
        if element.is(Self.request) { return .answer }
        guard element.is(Self.answer) else { return misuse(.featureNotImplemented) }
        guard let h = Self.count(element["h"]) else { return misuse(.badRequest) }
        return .acknowledged(h)
    }

    /// §3: only after resource binding, and once.
    private mutating func receiveEnable(_ element: Element) -> Management {
        guard state == .ready, !isManaged else { return misuse(.unexpectedRequest) }
        guard let wish = Self.managementWish(element) else { return misuse(.badRequest) }
        isManaged = true
        return .enable(resume: wish.resume, max: wish.max)
    }

    /// §5: only between authentication and resource binding.
    private mutating func receiveResume(_ element: Element) -> Management {
        guard state == .negotiating, account != nil else { return misuse(.unexpectedRequest) }
        guard let wish = Self.resumeWish(element) else { return misuse(.badRequest) }
        state = .resuming
        return .resume(previd: wish.previd, h: wish.h)
    }

    /// What `<enable/>` asks for, wherever it stands; nil when it cannot be read.
    public static func managementWish(_ element: Element) -> (resume: Bool, max: Int?)? {
        guard let resume = boolean(element["resume"] ?? "false") else { return nil }
        guard let text = element["max"] else { return (resume, nil) }
        guard let max = count(text) else { return nil }
        return (resume, Int(max))
    }

    /// What `<resume/>` asks for, wherever it stands; nil when it cannot be read.
    public static func resumeWish(_ element: Element) -> (previd: String, h: UInt32)? {
        guard let previd = element["previd"], !previd.isEmpty, let h = count(element["h"]) else { return nil }
        return (previd, h)
    }

    /// §6: errors are recoverable, so the stream goes on; whoever goes on making them is cut off.
    private mutating func misuse(_ condition: StanzaError.Condition) -> Management {
        managementFailures += 1
        guard managementFailures >= policy.managementFailures else { return .fail(condition, nil) }
        return .fail(condition, fail(StreamError(.policyViolation, text: "Too many errors in stream management")))
    }

    /// The session goes on over this stream.
    public mutating func resumed(_ jid: JID) {
        guard state == .resuming else { return }
        fullJID = jid
        isManaged = true
        state = .ready
    }

    /// The session cannot be resumed; the client may bind a resource instead.
    public mutating func resumeRefused() {
        if state == .resuming { state = .negotiating }
    }

    /// Stream management was enabled by other means than an element of its own (XEP-0386).
    public mutating func managementEnabled() { isManaged = true }

    /// An xs:boolean.
    private static func boolean(_ text: String) -> Bool? {
        switch text {
        case "true", "1": true
        case "false", "0": false
        default: nil
        }
    }

    /// An xs:unsignedInt.
    private static func count(_ text: String?) -> UInt32? {
        guard let text, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt32(text)
    }
}

extension StreamWriting {
    /// `<sm/>` among the features of an authenticated stream (XEP-0198 §2).
    public static func managementFeature(into writer: inout XMLWriter) { writer.empty("sm", xmlns: NS.streamManagement) }

    /// `<enabled/>` (XEP-0198 §3).
    ///
    /// - Parameters:
    ///   - id: the SM-ID; nil when the stream cannot be resumed.
    ///   - max: seconds for which it can.
    ///   - location: where to reconnect.
    public static func enabled(id: String?, max: Int?, location: String?, into writer: inout XMLWriter) {
        writer.empty(
            "enabled", xmlns: NS.streamManagement, ("id", id), ("resume", id == nil ? nil : "true"), ("max", max.map { String($0) }),
            ("location", location))
    }

    /// `<resumed/>` (XEP-0198 §5).
    public static func resumed(previd: String, h: UInt32, into writer: inout XMLWriter) {
        writer.empty("resumed", xmlns: NS.streamManagement, ("h", String(h)), ("previd", previd))
    }

    /// `<failed/>` (XEP-0198 §5, §6).
    ///
    /// - Parameter h: stanzas handled in a session that is over, where that is known.
    public static func managementFailed(_ condition: StanzaError.Condition, h: UInt32? = nil, into writer: inout XMLWriter) {
        writer.element("failed", xmlns: NS.streamManagement, ("h", h.map { String($0) })) { $0.empty(condition.name, xmlns: NS.stanzas) }
    }
}
