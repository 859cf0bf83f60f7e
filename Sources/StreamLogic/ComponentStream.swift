public import Stanzas
public import XMLStream

/// The server's side of a component's stream (XEP-0114 §3, jabber:component:accept), from its header to its end.
///
/// Header, header, handshake, handshake, stanzas, end. Every step is a method that takes what happened and answers what is to be done.
/// It has no socket, secret or source of chance: the caller compares the digest and asks the home of the domain.
public struct ComponentStream: ~Copyable {
    enum State: Equatable {
        /// A stream header must come.
        case header
        /// The handshake must come.
        case handshake
        /// The digest is compared, then the home grants the domain.
        case deciding
        /// Stanzas flow.
        case ready
        /// This side sent its closing tag.
        case closing
        /// Both sides are done.
        case closed
    }

    /// The domains that components may speak for, prepared.
    private let domains: Set<String>
    /// The name in the response header where the component named no domain that it may speak for.
    private let serverName: String
    private var state = State.header
    private var headerSent = false
    private var language: String?
    /// The domain the component speaks for, once its header named one.
    public private(set) var domain: String?

    public init(domains: Set<String>, serverName: String) {
        self.domains = domains
        self.serverName = serverName
    }

    /// Whether the next frame may be read: false while the handshake is decided on, and after the end.
    public var wantsInput: Bool {
        switch state {
        case .header, .handshake, .ready, .closing: true
        case .deciding, .closed: false
        }
    }

    public var isReady: Bool { state == .ready }
    /// Whether this side sent its closing tag or both did.
    public var isClosing: Bool { state == .closing || state == .closed }

    // MARK: Header and handshake

    /// What a stream header is answered with.
    public enum Opening: Equatable, Sendable {
        /// Write a header with this `from`.
        case open(from: String)
        /// Write the end.
        case refuse(Closing)
        case ignore
    }

    /// A stream header came. Namespaces, then the domain (XEP-0114 §3); errors come behind a header of this side (RFC 6120 §4.9.1.2).
    ///
    /// - Parameter draining: the node is leaving.
    public mutating func header(_ header: StreamHeader, draining: Bool = false) -> Opening {
        guard state == .header else { return isClosing ? .ignore : .refuse(fail(StreamError(.badFormat))) }
        guard header.namespace == NS.stream else { return .refuse(fail(StreamError(.invalidNamespace))) }
        guard header.local == "stream" else { return .refuse(fail(StreamError(.badFormat))) }
        guard header.contentNamespace == NS.componentAccept else { return .refuse(fail(StreamError(.invalidNamespace))) }
        guard let to = header.to, let name = try? JID.prepareDomain(to), domains.contains(name) else {
            return .refuse(fail(StreamError(.hostUnknown)))
        }
        domain = name
        if draining { return .refuse(fail(StreamError(.systemShutdown))) }
        language = header.lang.flatMap { ClientStream.isLanguage($0) ? $0 : nil }
        headerSent = true
        state = .handshake
        return .open(from: name)
    }

    /// What a first-level element is answered with.
    public enum Received: Equatable, Sendable {
        /// Compare the digest with SHA-1 of stream id and secret, in hexadecimal small letters; then call `verified`.
        case verify(digest: String)
        /// A stanza, and stanzas may be sent: ask `stanza`.
        case stanza
        /// Write the end.
        case fail(Closing)
        case ignore
    }

    /// A first-level element came.
    public mutating func receive(_ element: Element) -> Received {
        switch state {
        case .closing, .closed, .deciding: return .ignore
        case .header: return .fail(fail(StreamError(.badFormat)))
        case .handshake, .ready: break
        }
        if element.local == "error", element.namespace == NS.stream { return .fail(fail(nil)) }
        if StanzaKind(element) != nil { return state == .ready ? .stanza : .fail(fail(StreamError(.notAuthorized))) }
        // The parser reports the content namespace as that of clients.
        if element.local == "handshake", element.namespace == NS.client || element.namespace == NS.componentAccept {
            guard state == .handshake else { return .fail(fail(StreamError(.unsupportedStanzaType))) }
            state = .deciding
            return .verify(digest: element.text)
        }
        return .fail(fail(StreamError(state == .handshake ? .notAuthorized : .unsupportedStanzaType)))
    }

    /// The digest was compared. Nil: ask the home of the domain, and call `granted` or `refused`; else write the end.
    public mutating func verified(_ isRight: Bool) -> Closing? {
        guard state == .deciding, !isRight else { return nil }
        return fail(StreamError(.notAuthorized))
    }

    /// The home granted the domain. True: write the empty handshake.
    public mutating func granted() -> Bool {
        guard state == .deciding else { return false }
        state = .ready
        return true
    }

    /// The home refused the domain.
    public mutating func refused(_ error: StanzaError) -> Closing? {
        guard state == .deciding else { return nil }
        return fail(StreamError(error.condition == .conflict ? .conflict : .resourceConstraint))
    }

    // MARK: Stanzas

    /// What a stanza is answered with.
    public enum Submission: Sendable {
        /// Hand it to the session.
        case submit(Stanza)
        /// Write these bytes: an error.
        case bounce([UInt8])
        /// Write the end.
        case fail(Closing)
        case ignore
    }

    /// Reads a stanza that `receive` admitted: with both addresses, `from` any address of the domain (XEP-0114 §3).
    ///
    /// - Parameter source: the bytes `element` was parsed from.
    public mutating func stanza(_ element: Element, source: UnsafeRawBufferPointer) -> Submission {
        guard state == .ready else { return .ignore }
        do throws(StanzaShapeError) {
            let stanza = try Stanza(element, source: source, streamLang: language)
            // RFC 6120 §4.9.3.7, §4.9.3.9
            guard let from = stanza.from, stanza.to != nil else { return .fail(fail(StreamError(.improperAddressing))) }
            guard from.domain == domain else { return .fail(fail(StreamError(.invalidFrom))) }
            return .submit(stanza)
        } catch {
            switch error.reason {
            case .notAStanza: return .fail(fail(StreamError(.unsupportedStanzaType)))
            case .fromMalformed: return .fail(fail(StreamError(.invalidFrom)))
            case .badRequest, .toMalformed:
                guard error.from != nil, error.to != nil else { return .fail(fail(StreamError(.improperAddressing))) }
                return error.reply().map { .bounce($0.xml) } ?? .ignore
            }
        }
    }

    // MARK: The end

    /// `</stream:stream>` came. The closing to write, or nil when both tags are exchanged.
    public mutating func ended() -> Closing? {
        let answer = isClosing ? nil : closing(nil)
        state = .closed
        return answer
    }

    /// This side ends the stream, for an error or without one. Nil when it has ended already.
    public mutating func close(_ error: StreamError?) -> Closing? { isClosing ? nil : fail(error) }

    /// Bytes came that are refused. Nil when the stream has ended already.
    public mutating func failed(_ error: ParseError) -> Closing? { close(StreamError(error)) }

    /// The connection is gone, or goes away without another word.
    public mutating func lost() { state = .closed }

    private mutating func fail(_ error: StreamError?) -> Closing {
        let closing = closing(error)
        state = .closing
        return closing
    }

    private mutating func closing(_ error: StreamError?) -> Closing {
        let header = headerSent ? nil : ResponseHeader(from: domain ?? serverName, to: nil, hasVersion: false)
        headerSent = true
        return Closing(header: header, error: error)
    }
}

/// The bytes for what `ComponentStream` answers.
public enum ComponentWriting {
    /// The response stream header (XEP-0114 §3, example 2).
    public static func header(from: String, id: String, into writer: inout XMLWriter) {
        writer.raw("<?xml version='1.0'?>")
        writer.start("stream:stream", xmlns: NS.componentAccept, ("xmlns:stream", NS.stream), ("from", from), ("id", id))
    }

    /// The empty handshake: the credentials are right.
    public static func handshake(into writer: inout XMLWriter) { writer.raw("<handshake/>") }

    /// The end of the stream from this side.
    ///
    /// - Parameter id: for the header, where one is still owed.
    public static func closing(_ closing: Closing, id: String, into writer: inout XMLWriter) {
        if let header = closing.header { self.header(from: header.from, id: id, into: &writer) }
        closing.error?.write(into: &writer)
        writer.raw(StreamWriting.end)
    }
}
