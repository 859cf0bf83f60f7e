internal import Logging
internal import NIOCore
internal import ServerCore
internal import Settings
internal import Stanzas
internal import StreamLogic
internal import Telemetry
internal import XMLStream

/// One component's connection: bytes to frames to elements to the stream machine, and what it answers done.
final class ComponentHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes that may wait while the session is paused before the socket is paused too.
    private static let backlogBytes = 65_536
    /// What the peer has to close its stream after this side did.
    private static let closePatience = TimeAmount.seconds(3)

    private let components: ComponentLoop
    private let isAdmitted: Bool
    private var stream: ComponentStream
    private var streamID = ""
    private var context: ChannelHandlerContext?
    private var framer: StanzaFramer
    private var scope: StreamScope?
    private var buffer: ByteBuffer?
    private var isProcessing = false
    /// The frames can no longer be told apart: what comes is thrown away.
    private var isDeaf = false
    private var isReading = true
    private var hasLeft = false
    private var timer: Scheduled<Void>?

    private var session: ComponentSession?
    private var sessionReads = true
    private var toldSession = false
    private(set) var facts: ConnectionFacts
    private var isDue = false
    private var handedMark: UInt64 = 0
    private var toldMark: UInt64 = 0
    private var peerEnded = false
    private var lastWritten = false

    init(components: ComponentLoop, remote: String, port: Int, isAdmitted: Bool) {
        self.components = components
        self.isAdmitted = isAdmitted
        let service = components.service
        let limits = service.settings.limits
        stream = ComponentStream(domains: service.domains, serverName: service.settings.hosts.first?.domain ?? "")
        framer = StanzaFramer(
            limits: XMLLimits(
                stanzaBytes: limits.stanzaBytesBeforeAuth, depth: limits.depthBeforeAuth, attributes: limits.attributesBeforeAuth,
                namespaceDeclarations: limits.namespaceDeclarations))
        facts = ConnectionFacts(remoteAddress: remote, localPort: port, mechanism: "handshake", since: service.clock.now)
    }

    private var service: ComponentService { components.service }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        components.add(self)
        schedule(.seconds(Int64(service.settings.limits.unauthenticatedSeconds))) { $0.handshakeIsLate() }
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        guard !isAdmitted else { return }
        service.metrics.refused.increment()
        close(StreamError(.resourceConstraint, text: "Too many connections of components"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        // What was read before the end counts, however busy the session is.
        sessionReads = true
        process()
        leave()
        components.shard.endTick()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        leave()
        self.context = nil
    }

    private func leave() {
        guard !hasLeft else { return }
        hasLeft = true
        timer?.cancel()
        stream.lost()
        tellSession(.lost)
        session = nil
        buffer = nil
        service.left()
        components.remove(self)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        service.log.debug("component lost", metadata: ["domain": "\(stream.domain ?? "")", "reason": "\(error)"])
        context.close(promise: nil)
    }

    // MARK: Bytes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        facts.bytesIn &+= UInt64(bytes.readableBytes)
        guard !isDeaf else { return }
        if buffer == nil {
            buffer = bytes
        } else {
            buffer?.discardReadBytes()
            buffer?.writeBuffer(&bytes)
        }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        components.shard.endTick()
        context.flush()
    }

    /// Works off what was read, as far as the stream and the session will have it.
    private func process() {
        guard !isProcessing, let bytes = buffer else { return updateReading() }
        isProcessing = true
        var taken = 0
        bytes.withUnsafeReadableBytes { all in
            while stream.wantsInput, sessionReads, !isDeaf, taken < all.count {
                guard let end = step(UnsafeRawBufferPointer(rebasing: all[taken...])) else { break }
                taken += end
            }
        }
        isProcessing = false
        if isDeaf {
            buffer = nil
        } else {
            buffer?.moveReaderIndex(forwardBy: taken)
            if buffer?.readableBytes == 0 { buffer = nil }
        }
        updateReading()
    }

    private func updateReading() {
        let isWanted = stream.isClosing || stream.wantsInput && sessionReads
        let limit = stream.isReady ? Self.backlogBytes : framer.limits.stanzaBytes
        let reading = isWanted || (buffer?.readableBytes ?? 0) < limit
        guard reading != isReading, let context else { return }
        isReading = reading
        try? context.channel.syncOptions?.setOption(.autoRead, value: reading)
    }

    /// Takes one frame. Answers how many bytes it was, or nil when there is none.
    private func step(_ bytes: UnsafeRawBufferPointer) -> Int? {
        do throws(ParseError) {
            switch try framer.next(bytes) {
            case .needMore(let consumed): return consumed > 0 ? consumed : nil
            case .header(let start, let end):
                try open(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                return end
            case .stanza(let start, let end):
                try receive(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                return end
            case .end(let end):
                peerEnded = true
                if let closing = stream.ended() { finish(closing, .closedByPeer) } else { closeIfDone() }
                return end
            }
        } catch {
            isDeaf = true
            if let closing = stream.failed(error) { finish(closing) }
            return nil
        }
    }

    private func open(_ bytes: UnsafeRawBufferPointer) throws(ParseError) {
        let parsed = try components.parser.parse(header: bytes)
        scope = parsed.scope
        switch stream.header(parsed, draining: service.isDraining) {
        case .ignore: break
        case .refuse(let closing): finish(closing)
        case .open(let from):
            streamID = StreamIDs.one()
            let id = streamID
            put { ComponentWriting.header(from: from, id: id, into: &$0) }
        }
    }

    private func receive(_ bytes: UnsafeRawBufferPointer) throws(ParseError) {
        let element = try components.parser.parse(stanza: bytes, scope: scope)
        switch stream.receive(element) {
        case .ignore: break
        case .fail(let closing): finish(closing)
        case .verify(let digest): verify(digest)
        case .stanza:
            switch stream.stanza(element, source: bytes) {
            case .submit(let stanza): session?.submit(stanza, size: bytes.count)
            case .bounce(let answer): put { $0.raw(answer) }
            case .fail(let closing): finish(closing)
            case .ignore: break
            }
        }
    }

    // MARK: The handshake

    private func verify(_ digest: String) {
        guard let name = stream.domain, let domain = try? JID(name) else { return }
        let isRight = service.proves(digest, domain: name, streamID: streamID)
        (isRight ? service.metrics.proved : service.metrics.failed).increment()
        if let closing = stream.verified(isRight) {
            service.log.warning("a component gave a wrong secret", metadata: ["domain": "\(name)", "address": "\(facts.remoteAddress)"])
            return finish(closing)
        }
        session = components.shard.attach(component: domain, connection: self) { [weak self] result in
            switch result {
            case .success: self?.granted()
            case .failure(let error): self?.refused(error)
            }
        }
    }

    private func granted() {
        guard stream.granted() else { return }
        let limits = service.settings.limits
        framer.limits = XMLLimits(
            stanzaBytes: limits.stanzaBytes, depth: limits.depth, attributes: limits.attributes,
            namespaceDeclarations: limits.namespaceDeclarations)
        put { ComponentWriting.handshake(into: &$0) }
        service.log.notice("component connected", metadata: ["domain": "\(stream.domain ?? "")", "address": "\(facts.remoteAddress)"])
        timer?.cancel()
        scheduleKeepalive()
        later()
    }

    private func refused(_ error: StanzaError) {
        guard let closing = stream.refused(error) else { return }
        session = nil
        finish(closing)
    }

    private func handshakeIsLate() {
        if stream.isClosing { return abandon() }
        close(StreamError(.policyViolation, text: "The handshake took too long"))
    }

    private func schedule(_ delay: TimeAmount, _ body: @escaping (ComponentHandler) -> Void) {
        timer?.cancel()
        timer = components.loop.eventLoop.assumeIsolated().scheduleTask(in: delay) { [weak self] in
            guard let self else { return }
            body(self)
            components.shard.endTick()
        }
    }

    /// A space now and then, so that the network tells when the component is gone (RFC 6120 §4.6.1).
    private func scheduleKeepalive() {
        let seconds = service.settings.sessions.keepaliveSeconds
        guard seconds > 0 else { return }
        schedule(.seconds(Int64(seconds))) { handler in
            guard handler.stream.isReady else { return }
            handler.put { $0.raw(" ") }
            handler.scheduleKeepalive()
        }
    }

    // MARK: Going on after the tick

    /// Goes on after whatever runs now: inside a tick nothing may come back into the shard.
    private func later() {
        guard !isDue else { return }
        isDue = true
        components.loop.eventLoop.assumeIsolated().execute { [self] in
            isDue = false
            if !toldSession { tellWritten() }
            process()
            components.shard.endTick()
        }
    }

    private func tellWritten() {
        guard handedMark != toldMark else { return }
        toldMark = handedMark
        session?.written(through: handedMark)
    }

    // MARK: Writing and closing

    private func put(_ body: (inout XMLWriter) -> Void) {
        guard let context else { return }
        var writer = XMLWriter()
        body(&writer)
        facts.bytesOut &+= UInt64(writer.bytes.count)
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: writer.bytes)), promise: nil)
    }

    /// Writes the end of the stream, tells the session, and waits a bounded time for the peer's end.
    private func finish(_ closing: Closing, _ end: StreamEnd? = nil) {
        if let error = closing.error { service.metrics.sent(error) }
        tellSession(end ?? closing.error.map(StreamEnd.failed) ?? .closedByPeer)
        put { ComponentWriting.closing(closing, id: StreamIDs.one(), into: &$0) }
        guard let context else { return }
        sessionReads = true
        schedule(Self.closePatience) { $0.abandon() }
        later()
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in
            lastWritten = true
            closeIfDone()
        }
        // Last, since with it the connection may be gone.
        context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(capacity: 0)), promise: promise)
    }

    private func closeIfDone() {
        if peerEnded, lastWritten { abandon() }
    }

    /// Closes the connection without another word of XMPP.
    private func abandon() { context?.close(promise: nil) }

    private func tellSession(_ end: StreamEnd) {
        guard let session, !toldSession else { return }
        // What the kernel has must not be delivered again, whether the session has heard of it or not.
        tellWritten()
        toldSession = true
        session.streamClosed(end)
    }
}

/// What the session sees of its connection.
extension ComponentHandler: ClientConnection {
    func write(_ bytes: UnsafeRawBufferPointer, mark: UInt64) {
        guard let context, !stream.isClosing else { return }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count)
        buffer.writeBytes(bytes)
        facts.bytesOut &+= UInt64(bytes.count)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenSuccess { [self] in
            handedMark = mark
            later()
        }
        context.writeAndFlush(wrapOutboundOut(buffer), promise: promise)
    }

    func setReading(_ on: Bool) {
        sessionReads = on
        if on { later() } else { updateReading() }
    }

    func close(_ error: StreamError?) {
        guard let closing = stream.close(error) else { return }
        finish(closing)
    }

    /// A component has nothing to resume: its stream ends like any other.
    func cut() { close(StreamError(.systemShutdown)) }
}

@available(*, unavailable)
extension ComponentHandler: Sendable {}
