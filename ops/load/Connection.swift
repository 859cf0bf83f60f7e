import NIOCore
import Stanzas
import XMLStream

/// One socket of a session, from its first header to its end: negotiation here, stanzas to the session.
///
/// Confined to the crew's loop.
final class Connection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Step {
        case header, features, proceed, challenge(SCRAMLogin), success(SCRAMLogin?), bound, enabled, resumed, ready
    }

    private let session: Session
    private let attempt: Int
    private let crew: Crew
    private var context: ChannelHandlerContext?
    private var tls: TLSClient?
    private var framer = StanzaFramer(limits: Connection.limits)
    private var rest: [UInt8] = []
    private var outgoing: [UInt8] = []
    private var header: StreamHeader?
    private var step = Step.header
    private var isAuthenticated = false
    private var isOver = false
    /// The crew is to flush it.
    var isTouched = false
    private static let limits = XMLLimits(stanzaBytes: 1 << 24, depth: 256, attributes: 1_024, namespaceDeclarations: 256)

    init(_ session: Session, crew: Crew) {
        self.session = session
        attempt = session.attempt
        self.crew = crew
    }

    // MARK: The socket

    func channelActive(context: ChannelHandlerContext) {
        guard session.attempt == attempt else {
            isOver = true
            return context.close(promise: nil)
        }
        self.context = context
        session.connection = self
        if crew.options.tls == .direct { startTLS() } else { open() }
        flush()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
            guard let tls else { return receive(bytes) }
            let wasOpen = tls.isOpen
            tls.receive(bytes, scratch: crew.scratch) { receive($0) }
            if !wasOpen, tls.isOpen { open() }
            if let failure = tls.failure { fail("TLS: \(failure)") }
        }
        // What STARTTLS began in the middle of the read.
        flush()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        guard !isOver else { return }
        isOver = true
        session.lost(self, nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail("\(error)") }

    /// Sends at the end of what is done now.
    func send(_ xml: String) { outgoing.append(contentsOf: xml.utf8) }
    func send(_ bytes: [UInt8]) { outgoing.append(contentsOf: bytes) }

    func flush() {
        guard let context else { return }
        guard let tls else {
            guard !outgoing.isEmpty else { return }
            let buffer = context.channel.allocator.buffer(bytes: outgoing)
            outgoing = []
            context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
            return
        }
        if tls.isOpen, !outgoing.isEmpty {
            tls.send(outgoing)
            outgoing = []
        }
        if let buffer = tls.take(context.channel.allocator) { context.writeAndFlush(wrapOutboundOut(buffer), promise: nil) }
    }

    /// Closes the stream with a word; the server's end is waited for.
    func close() {
        send("</stream:stream>")
        flush()
    }

    /// Cuts the socket off without a word.
    func cut() {
        isOver = true
        context?.close(promise: nil)
    }

    private func fail(_ reason: String) {
        guard !isOver else { return }
        isOver = true
        session.lost(self, reason)
        context?.close(promise: nil)
    }

    private func startTLS() {
        guard let made = TLSClient(crew.tls, domain: session.account.jid.domain) else { return fail("TLS does not start") }
        tls = made
        made.shakeHands()
        if let failure = made.failure { fail("TLS: \(failure)") }
    }

    // MARK: The stream

    private func receive(_ bytes: UnsafeRawBufferPointer) {
        guard !isOver else { return }
        if rest.isEmpty {
            let taken = frame(bytes)
            if taken < bytes.count { rest = Array(bytes[taken...]) }
        } else {
            rest.append(contentsOf: bytes)
            let taken = rest.withUnsafeBytes { frame($0) }
            // Nothing is held where nothing is left, so that idle sessions are small.
            if taken == rest.count { rest = [] } else { rest.removeFirst(taken) }
        }
    }

    /// Takes whole frames; answers how many bytes they were.
    private func frame(_ bytes: UnsafeRawBufferPointer) -> Int {
        var taken = 0
        while !isOver {
            let left = UnsafeRawBufferPointer(rebasing: bytes[taken...])
            do {
                switch try framer.next(left) {
                case .needMore(let consumed): return taken + consumed
                case .header(let start, let end):
                    header = try crew.parser.parse(header: UnsafeRawBufferPointer(rebasing: left[start..<end]))
                    step = .features
                    taken += end
                case .stanza(let start, let end):
                    taken += end
                    take(try crew.parser.parse(stanza: UnsafeRawBufferPointer(rebasing: left[start..<end]), scope: header?.scope))
                case .end(let end):
                    taken += end
                    isOver = true
                    send("</stream:stream>")
                    flush()
                    session.lost(self, nil)
                    context?.close(promise: nil)
                }
            } catch {
                fail("the server's XML: \(error)")
            }
        }
        return bytes.count
    }

    private func open() {
        framer.restart()
        step = .header
        send(
            "<?xml version='1.0'?><stream:stream to='\(session.account.jid.domain)' version='1.0' xmlns='jabber:client' xmlns:stream='\(NS.stream)'>"
        )
    }

    private func take(_ element: Element) {
        if element.namespace == NS.stream, element.local == "error" {
            return fail("stream error \(element.children.first { _ in true }?.local ?? "without a name")")
        }
        switch step {
        case .ready: session.receive(element)
        case .features: choose(element)
        case .proceed:
            guard element.local == "proceed" else { return fail("STARTTLS is refused") }
            startTLS()
        case .challenge(var login):
            guard element.local == "challenge", let answer = login.answer(element.text) else { return refused(element) }
            step = .success(login)
            send("<response xmlns='\(NS.sasl)'>\(answer)</response>")
        case .success(let login):
            guard element.local == "success" else { return refused(element) }
            guard login?.accepts(element.text) != false else { return fail("the server does not know the password") }
            isAuthenticated = true
            open()
        case .bound:
            guard element["type"] == "result",
                let jid = element.first(local: "bind", namespace: NS.bind)?.first(local: "jid", namespace: NS.bind).flatMap({
                    try? JID($0.text)
                })
            else { return fail("no resource is bound") }
            session.bound(jid)
            guard crew.options.management else { return ready() }
            step = .enabled
            send("<enable xmlns='\(NS.streamManagement)' resume='true'/>")
        case .enabled:
            guard element.local == "enabled", element.namespace == NS.streamManagement else { return fail("stream management is refused") }
            session.enabled(element["id"])
            ready()
        case .resumed:
            if element.local == "resumed", let h = element["h"].flatMap({ UInt32($0) }) {
                step = .ready
                session.resumed(through: h)
            } else {
                session.resumptionRefused(element)
                bind()
            }
        case .header: fail("\(element.local) before a header")
        }
    }

    private func refused(_ element: Element) { fail("login refused: \(element.children.first { _ in true }?.local ?? element.local)") }

    private func ready() {
        step = .ready
        session.ready()
    }

    private func choose(_ features: Element) {
        guard features.local == "features" else { return fail("\(features.local) in the place of features") }
        if crew.options.tls == .starttls, tls == nil {
            guard features.first(local: "starttls", namespace: NS.tls) != nil else { return fail("STARTTLS is not offered") }
            step = .proceed
            return send("<starttls xmlns='\(NS.tls)'/>")
        }
        guard isAuthenticated else { return authenticate(features) }
        if let id = session.resumable {
            step = .resumed
            return send("<resume xmlns='\(NS.streamManagement)' previd='\(id)' h='\(session.received)'/>")
        }
        bind()
    }

    private func authenticate(_ features: Element) {
        let offered = features.first(local: "mechanisms", namespace: NS.sasl)?.children.map(\.text) ?? []
        let mechanism = crew.options.mechanism
        guard offered.contains(mechanism.rawValue) else {
            return fail("\(mechanism.rawValue) is not offered, but \(offered.isEmpty ? "nothing" : offered.joined(separator: ", "))")
        }
        let hash: SCRAMLogin.Hash
        switch mechanism {
        case .scramSHA1: hash = .sha1
        case .scramSHA256: hash = .sha256
        case .scramSHA512: hash = .sha512
        case .plain:
            step = .success(nil)
            let message = Base64.encode(Array("\0\(session.account.name)\0\(session.account.password)".utf8))
            return send("<auth xmlns='\(NS.sasl)' mechanism='PLAIN'>\(message)</auth>")
        }
        let login = SCRAMLogin(hash, session.account)
        step = .challenge(login)
        send("<auth xmlns='\(NS.sasl)' mechanism='\(mechanism.rawValue)'>\(login.first)</auth>")
    }

    private func bind() {
        step = .bound
        send("<iq type='set' id='bind'><bind xmlns='\(NS.bind)'><resource>\(session.resource)</resource></bind></iq>")
    }
}

@available(*, unavailable)
extension Connection: Sendable {}
