import Glibc
public import XMLStream

/// A client on a socket: used by one thread at a time, every wait bounded. It reads while it writes, so that a server which stops
/// reading does not stop it.
public final class XMPPClient {
    /// The password of every account that `ProcessCluster` makes.
    public static let password = "a password for tests"

    private var descriptor: Int32
    private let domain: String
    private var framer = StanzaFramer(limits: XMLLimits())
    private var incoming: [UInt8] = []
    private var consumed = 0
    private var outgoing: [UInt8] = []
    private var sent = 0
    /// Nothing can be sent any more; what had come before may still be read.
    private var isDeaf = false
    private var stanzas: [String] = []
    private var taken = 0

    /// The features of the last stream that began.
    public private(set) var features = ""
    /// The id that the server gave the stream.
    private var streamID: String?

    /// Stream management, once it is enabled.
    public private(set) var management: ClientManagement?
    /// Whether it answers the server's `<r/>` by itself.
    public var answersRequests = false
    /// What the server said instead of `<resumed/>`.
    public private(set) var refusal: String?

    /// Full JID, once bound; the domain of a component.
    public private(set) var jid = ""
    /// How the stream ended: the condition of a stream error, "closed" when it was closed without one, "lost" when the socket
    /// broke without a word, nil while it stands.
    public private(set) var end: String?

    /// Connects, authenticates and binds.
    ///
    /// - Parameters:
    ///   - resource: nil: the server chooses one.
    ///   - patience: for all of it.
    ///   - receiveBuffer: Bytes the kernel holds for a client that does not read; nil: as many as it likes.
    public init(
        port: UInt16, domain: String, user: String, resource: String?, password: String = XMPPClient.password,
        within patience: Duration = .patient,
        receiveBuffer: Int32? = nil
    ) throws {
        self.domain = domain
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProcessFailure.system("socket") }
        let deadline = Deadline(in: patience)
        if var receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<Int32>.size)) }
        try open(port)
        try begin(by: deadline)
        try authenticate(user, password, by: deadline)
        try begin(by: deadline)
        let wish = resource.map { "<resource>\($0)</resource>" } ?? ""
        try write("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\(wish)</bind></iq>", by: deadline)
        let text = try next(by: deadline)
        let answer = try Element.parse(Array(text.utf8))
        guard answer["type"] == "result",
            let bound = answer.first(local: "bind", namespace: "urn:ietf:params:xml:ns:xmpp-bind")?.first(
                local: "jid", namespace: "urn:ietf:params:xml:ns:xmpp-bind")
        else { throw ProcessFailure("\(user) cannot bind: \(text)") }
        jid = bound.text
    }

    /// Connects, authenticates, and resumes a session (XEP-0198 §5). What the server has not handled is sent again.
    ///
    /// - Parameters:
    ///   - previous: the session as its client knows it.
    ///   - jid: the full JID that it has.
    ///   - h: what it says to have received; nil: what it counted.
    ///
    /// When the server refuses, `refusal` says how, and the stream stands without a resource.
    public init(
        port: UInt16, domain: String, user: String, resuming previous: ClientManagement, jid: String, h: UInt32? = nil,
        within patience: Duration = .patient
    ) throws {
        self.domain = domain
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProcessFailure.system("socket") }
        let deadline = Deadline(in: patience)
        try open(port)
        try begin(by: deadline)
        try authenticate(user, Self.password, by: deadline)
        try begin(by: deadline)
        said = h ?? previous.received
        try write("<resume xmlns='urn:xmpp:sm:3' previd='\(previous.id ?? "")' h='\(said)'/>", by: deadline)
        // What comes behind it counts already, and may have come with it.
        awaited = previous
        while !isAnswered {
            guard end == nil, !deadline.isOver else { throw ProcessFailure("\(user) is not resumed: \(end ?? "nothing came in time")") }
            wait(by: deadline)
        }
        guard refusal == nil else { return }
        self.jid = jid
        let again = management?.unacknowledged ?? []
        if !again.isEmpty { try write(again.joined(), by: deadline) }
    }

    /// The session that is being resumed, until the server answers.
    private var awaited: ClientManagement?
    private var said: UInt32 = 0
    private var isAnswered: Bool { awaited == nil }

    /// Enables stream management.
    public func enableManagement(resume: Bool = true, within patience: Duration = .patient) throws {
        try send("<enable xmlns='urn:xmpp:sm:3' resume='\(resume)'/>", within: patience)
        let deadline = Deadline(in: patience)
        while management?.isEnabled != true {
            guard end == nil, !deadline.isOver else { throw ProcessFailure("\(jid): stream management is not enabled") }
            wait(by: deadline)
        }
        stanzas.removeAll { $0.hasPrefix("<enabled") }
    }

    /// Connects and opens a stream that is not authenticated.
    public init(visiting port: UInt16, domain: String, within patience: Duration = .patient) throws {
        self.domain = domain
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProcessFailure.system("socket") }
        try open(port)
        try begin(by: Deadline(in: patience))
    }

    /// Connects a component and proves who it is (XEP-0114).
    ///
    /// - Parameter secret: the one the server knows, or another.
    public init(port: UInt16, component domain: String, secret: String, within patience: Duration = .patient) throws {
        self.domain = domain
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ProcessFailure.system("socket") }
        let deadline = Deadline(in: patience)
        try open(port)
        try write(
            "<stream:stream to='\(domain)' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>", by: deadline)
        while streamID == nil, end == nil, !deadline.isOver { wait(by: deadline) }
        guard let streamID else { throw ProcessFailure("\(domain) gets no stream: \(end ?? "nothing came in time")") }
        try write("<handshake>\(SCRAMClient.hexSHA1(streamID + secret))</handshake>", by: deadline)
        let answer = try next(by: deadline)
        guard answer == "<handshake/>" else { throw ProcessFailure("\(domain) is answered with \(answer)") }
        jid = domain
    }

    deinit { drop() }

    private func open(_ port: UInt16) throws {
        var address = sockaddr_in.loopback(port)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard result == 0 else { throw ProcessFailure.system("port \(port)") }
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    /// Opens a stream and takes its features.
    private func begin(by deadline: Deadline) throws {
        framer.restart()
        try write(
            "<stream:stream to='\(domain)' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            by: deadline)
        let features = try next(by: deadline)
        guard features.hasPrefix("<stream:features") else { throw ProcessFailure("the stream begins with \(features)") }
        self.features = features
    }

    private func authenticate(_ user: String, _ password: String, by deadline: Deadline) throws {
        let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
        var scram = SCRAMClient(user: user, password: password)
        try write("<auth \(sasl) mechanism='\(SCRAMClient.mechanism)'>\(scram.first)</auth>", by: deadline)
        let challenge = try saslText("challenge", by: deadline)
        try write("<response \(sasl)>\(try scram.final(challenge: challenge))</response>", by: deadline)
        try scram.verify(success: try saslText("success", by: deadline))
    }

    private func saslText(_ name: String, by deadline: Deadline) throws -> String {
        let text = try next(by: deadline)
        let element = try Element.parse(Array(text.utf8))
        guard element.local == name else { throw ProcessFailure("login: \(text)") }
        return element.text
    }

    // MARK: Stanzas

    /// Sends one stanza or several; returns when the socket has taken all of it.
    public func send(_ xml: String, within patience: Duration = .patient) throws {
        if management != nil { noteSent(xml) } else if xml.hasPrefix("<enable ") { management = ClientManagement() }
        try write(xml, by: Deadline(in: patience))
    }

    /// The next stanza.
    public func receive(within patience: Duration = .patient) throws -> String {
        try next(by: Deadline(in: patience))
    }

    /// The next stanza if it comes in time and the stream stands.
    public func receive(by deadline: Deadline) -> String? {
        while true {
            if let stanza = popStanza() { return stanza }
            guard end == nil, !deadline.isOver else { return nil }
            wait(by: deadline)
        }
    }

    /// The next stanza that is wanted; what comes before it is dropped.
    @discardableResult
    public func receive(within patience: Duration = .patient, where isWanted: (Element) -> Bool) throws -> Element {
        let deadline = Deadline(in: patience)
        while true {
            let element = try Element.parse(Array(try next(by: deadline).utf8))
            if isWanted(element) { return element }
        }
    }

    /// What has arrived, without waiting.
    public func receiveAll() -> [String] {
        if end == nil { _ = read() }
        var all: [String] = []
        while let stanza = popStanza() { all.append(stanza) }
        return all
    }

    /// Sends a ping to the server and waits for its result: everything sent before is handled then. What arrives meanwhile goes to `meanwhile`.
    public func ping(_ id: String, within patience: Duration = .patient, meanwhile: (String) -> Void = { _ in }) throws {
        let deadline = Deadline(in: patience)
        try send("<iq type='get' id='\(id)'><ping xmlns='urn:xmpp:ping'/></iq>", within: patience)
        while true {
            let stanza = try next(by: deadline)
            guard stanza.hasPrefix("<iq"), let answer = try? Element.parse(Array(stanza.utf8)), answer["id"] == id else {
                meanwhile(stanza)
                continue
            }
            guard answer["type"] == "result" else { throw ProcessFailure("\(jid): the ping is answered with \(stanza)") }
            return
        }
    }

    /// Asks until the server has handled everything that was sent since stream management was enabled. What arrives meanwhile stays to
    /// be received.
    public func waitUntilHandled(within patience: Duration = .patient) throws {
        let deadline = Deadline(in: patience)
        while management?.unacknowledged.isEmpty == false {
            try send("<r xmlns='urn:xmpp:sm:3'/>", within: patience)
            // What is not handled yet is told unasked as soon as it is.
            let again = Deadline(in: .seconds(1))
            while management?.unacknowledged.isEmpty == false, !again.isOver {
                guard end == nil, !deadline.isOver else {
                    throw ProcessFailure("\(jid): not all is handled: \(end ?? "no answer in time")")
                }
                wait(by: again)
            }
        }
    }

    /// Closes the stream and waits until the server has closed it too; then the socket. What came meanwhile is there to be received.
    public func close(within patience: Duration = .patient) throws {
        if end == nil, !isDeaf {
            do { try write("</stream:stream>", by: Deadline(in: patience)) } catch { guard isDeaf else { throw error } }
        }
        try waitForEnd(within: patience)
    }

    /// Waits until the server ends the stream, then closes the socket. What came meanwhile is there to be received.
    public func waitForEnd(within patience: Duration = .patient) throws {
        let deadline = Deadline(in: patience)
        while end == nil {
            guard !deadline.isOver else { throw ProcessFailure("\(jid): the server does not end the stream") }
            wait(by: deadline)
        }
        drop()
    }

    /// Closes the socket without a word.
    public func drop() {
        if end == nil { end = "dropped" }
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        descriptor = -1
    }

    // MARK: The socket

    private func popStanza() -> String? {
        guard taken < stanzas.count else { return nil }
        defer {
            taken += 1
            if taken == stanzas.count {
                stanzas.removeAll(keepingCapacity: true)
                taken = 0
            }
        }
        return stanzas[taken]
    }

    private func next(by deadline: Deadline) throws -> String {
        if let stanza = receive(by: deadline) { return stanza }
        if let end { throw ProcessFailure("\(jid): the stream ended: \(end)") }
        throw ProcessFailure("\(jid): nothing came in time")
    }

    private func write(_ text: String, by deadline: Deadline) throws {
        outgoing.append(contentsOf: text.utf8)
        while true {
            flush()
            if isDeaf { throw ProcessFailure("\(jid): the server is gone") }
            if outgoing.isEmpty { return }
            if let end { throw ProcessFailure("\(jid): the stream ended: \(end)") }
            guard !deadline.isOver else { throw ProcessFailure("\(jid): the server takes nothing more") }
            wait(by: deadline)
        }
    }

    private func flush() {
        while sent < outgoing.count, end == nil, !isDeaf {
            let count = outgoing.withUnsafeBytes { bytes in
                Glibc.send(descriptor, bytes.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { isDeaf = true }
                if isDeaf { break }
                return
            }
            sent += count
        }
        outgoing.removeAll(keepingCapacity: true)
        sent = 0
    }

    /// Waits until something came or, while something waits to be sent, until the socket takes more.
    private func wait(by deadline: Deadline) {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN) | (outgoing.isEmpty ? 0 : Int16(POLLOUT)), revents: 0)
        guard poll(&waiting, 1, deadline.milliseconds) > 0 else { return }
        if waiting.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 { _ = read() }
    }

    /// Reads what there is. False when nothing was.
    private func read() -> Bool {
        var isNew = false
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while end == nil {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 {
                isNew = true
                incoming.append(contentsOf: chunk[..<count])
                frame()
                if count < chunk.count { return true }
            } else if count < 0, errno == EINTR {
                continue
            } else if count < 0, errno == EAGAIN {
                return isNew
            } else {
                end = "lost"
            }
        }
        return isNew
    }

    private func frame() {
        while end == nil {
            let frame = incoming.withUnsafeBytes { bytes in
                Result { try framer.next(UnsafeRawBufferPointer(rebasing: bytes[consumed...])) }
            }
            switch frame {
            case .success(.needMore(let white)):
                consumed += white
                if consumed > 0 {
                    incoming.removeFirst(consumed)
                    consumed = 0
                }
                return
            case .success(.header(let start, let stop)):
                let header = incoming[(consumed + start)..<(consumed + stop)].withUnsafeBytes { bytes in
                    try? XMLStreamParser(namespace: .client).parse(header: bytes)
                }
                streamID = header?.id
                consumed += stop
            case .success(.stanza(let start, let stop)):
                take(String(decoding: incoming[(consumed + start)..<(consumed + stop)], as: UTF8.self))
                consumed += stop
            case .success(.end):
                end = streamError ?? "closed"
            case .failure:
                end = "not well-formed"
            }
        }
    }

    private var streamError: String?

    /// What was sent stays in mind until the server has handled it.
    private func noteSent(_ xml: String) {
        Array(xml.utf8).withUnsafeBytes { bytes in
            for stanza in MemoryClient.cut(bytes) where !stanza.contains("urn:xmpp:sm:3") {
                management?.noteSent(stanza, isVisible: !stanza.contains(ProcessPlayer.mark))
            }
        }
    }

    /// Takes what belongs to stream management. True when nobody else sees it.
    private func manage(_ text: String) -> Bool {
        guard text.contains("urn:xmpp:sm:3"), let element = try? Element.parse(Array(text.utf8)), element.namespace == "urn:xmpp:sm:3"
        else {
            if management != nil { management?.noteReceived(isVisible: !text.contains(ProcessPlayer.mark)) }
            return false
        }
        switch element.local {
        case "enabled":
            management?.enabled(element)
            return false
        case "resumed":
            management = awaited
            management?.rewind(to: said)
            _ = management?.resumed(element)
            awaited = nil
            return true
        case "failed":
            guard awaited != nil else { return false }
            refusal = text
            awaited = nil
            return true
        default:
            let asked = management?.requests ?? 0
            guard management?.take(element) == true else { return false }
            if answersRequests, let management, management.requests > asked {
                outgoing.append(contentsOf: Array("<a xmlns='urn:xmpp:sm:3' h='\(management.received)'/>".utf8))
                flush()
            }
            return true
        }
    }

    private func take(_ stanza: String) {
        if manage(stanza) { return }
        guard stanza.hasPrefix("<stream:error") else {
            stanzas.append(stanza)
            return
        }
        // <stream:error><CONDITION xmlns=…: the prefix is declared in the header, so the text alone is no document.
        streamError = stanza.split(separator: "<").dropFirst().first.map { String($0.prefix { $0.isLetter || $0 == "-" }) } ?? "unreadable"
    }
}
