internal import Authentication
internal import Logging
internal import NIOCore
internal import ServerCore
internal import Settings
internal import Stanzas
internal import StreamLogic
internal import Telemetry
internal import XMLStream

/// One client's connection: bytes to frames to elements to the stream machine, and what it answers done.
///
/// Split by facet: here what comes in; `ClientHandlerNegotiation` carries out TLS, SASL and binding; `ClientHandlerOutput`
/// writes, closes, and is what the session sees.
final class ClientHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// What is known of a connection from its first moment.
    struct Origin {
        /// "address:port" of the peer.
        var remote: String
        var prefix: AddressPrefix?
        var localPort: Int
        var isLoopback: Bool
        var admission: ConnectionLimits.Admission
    }

    /// Bytes that may wait while a session is paused before its socket is paused too.
    private static let backlogBytes = 65_536
    /// Seconds that the peer has to close its stream after this side did.
    static let closeSeconds = 3

    let clients: ClientLoop
    let origin: Origin
    let view: ClientService.View
    var stream: ClientStream
    var context: ChannelHandlerContext?
    private var framer: StanzaFramer
    /// Read and not yet taken.
    private var buffer: ByteBuffer?
    private var scope: StreamScope?
    private var isProcessing = false
    /// The frames can no longer be told apart, or nobody wants them: what comes is thrown away.
    var isDeaf = false
    /// What was read before TLS is not to be read behind it.
    private var dropsInput = false
    private var isReading = true
    private var hasLeft = false

    // Kept for `ClientLoop`.
    var place = 0
    var isSettled = false
    var isDue = false
    /// When the connection has to be bound, or gone.
    var deadline: MonotonicTime
    private var heard = false
    private var silence = 0

    // Negotiation.
    var tls: TLSHandler?
    private var tlsFailed = false
    /// Both directions' compression, once the client asked for it.
    var compression: StreamCompression?
    var bindings = ChannelBindings()
    var exchange: SASLExchange?
    /// A login by SASL2 from its proof to its success.
    var login: ExtensibleLogin?
    /// The client as modules see it before it has authenticated, on this stream.
    var visitor: Visitor?
    /// The installation of the client (`BindTerms.device`).
    var device: String?

    // The session and what goes out.
    var session: Session?
    /// The session that is being resumed.
    var resumption: Resumption?
    /// The session lets its socket be read.
    var sessionReads = true
    var toldSession = false
    var facts: ConnectionFacts
    var needsFlush = false
    /// The last mark that was written, the last that the kernel has, and the last that the session knows of.
    var askedMark: UInt64 = 0
    var handedMark: UInt64 = 0
    var toldMark: UInt64 = 0
    /// The peer sent its closing tag.
    var peerEnded = false
    /// Our closing tag is with the kernel.
    var lastWritten = false

    init(clients: ClientLoop, origin: Origin, tls: TLSHandler?) {
        self.clients = clients
        self.origin = origin
        self.tls = tls
        let settings = clients.service.settings
        view = clients.service.view
        stream = ClientStream(policy: origin.isLoopback ? view.loopback : view.open, secure: tls != nil)
        framer = StanzaFramer(
            limits: XMLLimits(
                stanzaBytes: settings.limits.stanzaBytesBeforeAuth, depth: settings.limits.depthBeforeAuth,
                attributes: settings.limits.attributesBeforeAuth, namespaceDeclarations: settings.limits.namespaceDeclarations))
        deadline = clients.loop.now + .seconds(settings.limits.unauthenticatedSeconds)
        facts = ConnectionFacts(
            remoteAddress: origin.remote, localPort: origin.localPort, mechanism: "", since: clients.service.clock.now)
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        clients.add(self)
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        let error: StreamError
        switch origin.admission {
        case .admitted: return
        case .nodeIsFull: error = StreamError(.resourceConstraint, text: "Too many connections")
        case .addressIsFull: error = StreamError(.policyViolation, text: "Too many connections from this address")
        }
        // Where TLS comes first there is no way to say why.
        if tls == nil { close(error) } else { abandon() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        // What was read before the end counts, however busy the session is.
        sessionReads = true
        process(isLast: true)
        leave()
        clients.shard.endTick()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        leave()
        self.context = nil
    }

    private func leave() {
        guard !hasLeft else { return }
        hasLeft = true
        stream.lost()
        dropExchange()
        tellSession(.lost)
        session = nil
        buffer = nil
        clients.remove(self)
        clients.service.limits.left(origin.prefix)
        clients.service.metrics.disconnected()
        if let tls, !tls.isOpen, facts.tlsVersion == nil, !tlsFailed { clients.service.metrics.failed(.abandoned) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        clients.service.log.debug("connection lost", metadata: ["address": "\(origin.remote)", "reason": "\(error)"])
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? TLSEvent else { return context.fireUserInboundEventTriggered(event) }
        switch event {
        case .established(let agreed):
            facts.tlsVersion = agreed.version
            facts.tlsCipher = agreed.cipher
            clients.service.metrics.secured(agreed.version)
            stream.secured()
        case .peerClosed: context.close(promise: nil)
        case .failed(let reason):
            tlsFailed = true
            clients.service.metrics.failed(reason.kind)
            clients.service.log.debug("TLS failed", metadata: ["address": "\(origin.remote)", "reason": "\(reason)"])
        }
    }

    // MARK: Bytes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        heard = true
        if compression == nil { countInput(bytes.readableBytes) }
        guard !isDeaf else { return }
        if let compression {
            clients.service.metrics.compressedIn.increment(by: UInt64(bytes.readableBytes))
            compression.take(&bytes)
        } else if buffer == nil {
            buffer = bytes
        } else {
            buffer?.discardReadBytes()
            buffer?.writeBuffer(&bytes)
        }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        clients.shard.endTickOfRound()
        flush()
    }

    private func countInput(_ count: Int) {
        facts.bytesIn &+= UInt64(count)
        clients.traffic.received.increment(by: UInt64(count))
    }

    /// Works off what was read, as far as the stream and the session will have it.
    ///
    /// - Parameter isLast: nothing follows, and there is no later turn.
    func process(isLast: Bool = false) {
        guard !isProcessing else { return }
        takeFrames()
        if let compression { inflate(compression, isLast: isLast) }
        updateReading()
    }

    /// Inflates and works off a piece after the other.
    private func inflate(_ compression: StreamCompression, isLast: Bool) {
        var left = Self.inflatedBytes
        while compression.hasMore, stream.wantsInput, sessionReads, !isDeaf {
            guard left > 0 || isLast else { return clients.later(self) }
            var inflated = buffer ?? ByteBuffer()
            inflated.discardReadBytes()
            // The one owner, or each piece would copy what waits.
            buffer = nil
            do throws(StreamCompression.Failure) {
                let count = try compression.inflate(into: &inflated)
                countInput(count)
                left -= count
            } catch {
                isDeaf = true
                compressionFailed(error)
                break
            }
            if inflated.readableBytes > 0 { buffer = inflated }
            takeFrames()
        }
        if isDeaf || stream.isClosing && !stream.wantsInput { compression.drop() }
    }

    private func takeFrames() {
        if let bytes = buffer {
            isProcessing = true
            var taken = 0
            bytes.withUnsafeReadableBytes { all in
                while stream.wantsInput, sessionReads, !isDeaf, taken < all.count {
                    guard let end = step(UnsafeRawBufferPointer(rebasing: all[taken...])) else { break }
                    taken += end
                }
            }
            isProcessing = false
            if isDeaf || dropsInput {
                buffer = nil
                dropsInput = false
            } else {
                buffer?.moveReaderIndex(forwardBy: taken)
                if buffer?.readableBytes == 0 { buffer = nil }
            }
        }
    }

    /// Pauses the socket when too much waits for the stream or the session.
    private func updateReading() {
        let compressed = compression?.backlog ?? 0
        let isWanted = (stream.isClosing || stream.wantsInput && sessionReads) && compressed == 0
        let limit = stream.account == nil ? framer.limits.stanzaBytes : Self.backlogBytes
        let reading = isWanted || (buffer?.readableBytes ?? 0) + compressed < limit
        guard reading != isReading, let context else { return }
        isReading = reading
        try? context.channel.syncOptions?.setOption(.autoRead, value: reading)
    }

    /// Takes one frame. Answers how many bytes it was, or nil when there is none.
    private func step(_ bytes: UnsafeRawBufferPointer) -> Int? {
        let frame: StanzaFramer.Frame
        do throws(ParseError) { frame = try framer.next(bytes) } catch {
            failed(error)
            return nil
        }
        switch frame {
        case .needMore(let consumed): return consumed > 0 ? consumed : nil
        case .header(let start, let end):
            receiveHeader(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            return end
        case .stanza(let start, let end):
            // Only plain text behind `<starttls/>` and `<compress/>` matters, and there is little of it before a resource is bound.
            let isFollowed = !stream.isReady && bytes[end...].contains { $0 > 0x20 }
            receiveElement(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), isFollowed: isFollowed)
            return end
        case .end(let end):
            peerEnded = true
            switch stream.ended() {
            case .answer(let closing): finish(closing, .closedByPeer)
            case .done: closeIfDone()
            }
            return end
        }
    }

    private func failed(_ error: ParseError) {
        isDeaf = true
        if let closing = stream.failed(error) { finish(closing) }
    }

    private func receiveHeader(_ bytes: UnsafeRawBufferPointer) {
        do throws(ParseError) {
            let parsed = try clients.parser.parse(header: bytes)
            scope = parsed.scope
            open(parsed)
        } catch {
            failed(error)
        }
    }

    private func receiveElement(_ bytes: UnsafeRawBufferPointer, isFollowed: Bool) {
        let element: Element
        do throws(ParseError) { element = try clients.parser.parse(stanza: bytes, scope: scope) } catch { return failed(error) }
        let received = stream.receive(element, followed: isFollowed)
        if case .refuse(let id, let error, nil) = received, stream.isReady {
            // A stanza all the same: it counts, and so does its answer (XEP-0198).
            session?.answer(Stanza(kind: .iq, type: .error, id: id, payload: Payload(written: error.bytes)), size: bytes.count)
            return
        }
        if case .visit(let isSet) = received { return visit(element, isSet: isSet) }
        guard received == .stanza else { return act(on: received) }
        switch stream.stanza(element, source: bytes) {
        case .submit(let stanza): session?.submit(stanza, size: bytes.count)
        case .bounce(let answer): session?.answer(answer, size: bytes.count)
        case .fail(let closing): finish(closing)
        case .ignore: session?.answer(nil, size: bytes.count)
        }
    }

    /// A new stream begins on the connection, under the limits of who has authenticated or not.
    func restartFraming() {
        if stream.account != nil { raiseLimits() }
        framer.restart()
        scope = nil
    }

    /// The limits of who has authenticated hold from now on.
    func raiseLimits() {
        let limits = clients.service.settings.limits
        framer.limits = XMLLimits(
            stanzaBytes: limits.stanzaBytes, depth: limits.depth, attributes: limits.attributes,
            namespaceDeclarations: limits.namespaceDeclarations)
    }

    /// Throws away what was read so far: it came before TLS.
    func dropInput() { dropsInput = true }

    // MARK: Time

    /// The deadline has come: a stream that was not bound in time is ended, one that was not closed in time is cut off.
    func deadlinePassed() {
        if stream.isClosing || tls?.isOpen == false { return abandon() }
        close(StreamError(.policyViolation, text: "Negotiation took too long"))
    }

    /// One look in a while: a connection that was silent for long gets a space, so that the network tells if it is dead
    /// (RFC 6120 §4.6.1).
    func lookAfter() {
        silence = heard ? 0 : silence + 1
        heard = false
        guard silence >= ClientLoop.silentRounds, stream.isReady else { return }
        silence = 0
        put([UInt8(ascii: " ")])
        flush()
    }
}

@available(*, unavailable)
extension ClientHandler: Sendable {}
