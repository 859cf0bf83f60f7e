public import NIOCore

/// What a `TLSHandler` tells the handlers behind it.
public enum TLSEvent: Sendable, Equatable {
    /// The handshake is done: what is read from now on came protected.
    case established(TLSFacts)
    /// The peer sent close_notify: nothing more will come.
    case peerClosed
    /// The connection is being closed for this reason.
    case failed(TLSFailure)
}

/// TLS on a channel, server side, by the system's OpenSSL.
///
/// Writes are gathered until the flush, so that a tick makes one record of many stanzas; their promises follow the ciphertext.
/// Closing sends close_notify and waits a bounded time for the peer's (RFC 6120 §4.4).
public final class TLSHandler: ChannelDuplexHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer
    public typealias OutboundIn = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    private let connection: TLSConnection
    private let memory: TLSMemory
    private let handshakeTimeout: TimeAmount
    private let closeTimeout: TimeAmount
    private var timer: Scheduled<Void>?
    private var pending: ByteBuffer?
    private var promises: [EventLoopPromise<Void>] = []
    private var flushWanted = false
    private var closePromise: EventLoopPromise<Void>?
    private var isClosing = false
    private var failure: TLSFailure?

    /// - Parameters:
    ///   - table: the certificates; the connection keeps this one, whatever is loaded later.
    ///   - host: whose certificate is shown to a client that names no host itself.
    ///   - direct: the connection begins with TLS (XEP-0368) instead of with a stream.
    ///   - memory: the loop's.
    ///   - handshakeTimeout: after which an unfinished handshake ends the connection.
    ///   - closeTimeout: how long the peer's close_notify is waited for.
    /// - Throws: `TLSFailure` when OpenSSL has no memory.
    public init(
        table: TLSTable, host: String?, direct: Bool, memory: TLSMemory, handshakeTimeout: TimeAmount = .seconds(15),
        closeTimeout: TimeAmount = .seconds(2)
    ) throws(TLSFailure) {
        connection = try TLSConnection(table: table, host: host, direct: direct, memory: memory)
        self.memory = memory
        self.handshakeTimeout = handshakeTimeout
        self.closeTimeout = closeTimeout
    }

    /// The data of tls-exporter (RFC 9266), where it may be used.
    public var exporter: [UInt8]? { connection.exporter }
    /// The data of tls-server-end-point (RFC 5929 §4).
    public var serverEndPoint: [UInt8]? { connection.serverEndPoint }
    /// What was agreed; meaningful after `TLSEvent.established`.
    public var facts: TLSFacts { connection.facts }
    /// Whether the handshake is done and nothing has failed.
    public var isOpen: Bool { connection.state == .open }

    public func handlerAdded(context: ChannelHandlerContext) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: handshakeTimeout) { [self] in
            guard connection.state == .handshaking else { return }
            fail(context, .timeout)
        }
    }

    public func handlerRemoved(context: ChannelHandlerContext) { finish(ChannelError.ioOnClosedChannel) }

    public func channelInactive(context: ChannelHandlerContext) {
        finish(ChannelError.ioOnClosedChannel)
        context.fireChannelInactive()
    }

    // MARK: In

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard connection.state != .failed, failure == nil else { return }
        let wasOpen = connection.state == .open
        let ciphertext = unwrapInboundIn(data)
        var plain: ByteBuffer?
        let discard = isClosing
        var failed: TLSFailure?
        ciphertext.withUnsafeReadableBytes { bytes in
            do throws(TLSFailure) {
                try connection.receive(bytes) { piece in
                    guard !discard else { return }
                    if plain == nil { plain = context.channel.allocator.buffer(capacity: max(piece.count, ciphertext.readableBytes)) }
                    plain?.writeBytes(piece)
                }
            } catch {
                failed = error
            }
        }
        writeOutput(context, promise: nil)
        // The memory is free again from here on: what follows may come back into this handler.
        if !wasOpen, connection.state == .open, failed == nil {
            timer?.cancel()
            timer = nil
            context.fireUserInboundEventTriggered(TLSEvent.established(connection.facts))
            if flushWanted { flush(context: context) }
        }
        if let plain, plain.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(plain)) }
        if let failed { return fail(context, failed) }
        if connection.peerClosed { peerClosed(context) }
    }

    private func peerClosed(_ context: ChannelHandlerContext) {
        if isClosing { return endConnection(context) }
        context.fireUserInboundEventTriggered(TLSEvent.peerClosed)
    }

    // MARK: Out

    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard failure == nil, !isClosing else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        var buffer = unwrapOutboundIn(data)
        if pending == nil { pending = buffer } else { pending?.writeBuffer(&buffer) }
        if let promise { promises.append(promise) }
    }

    public func flush(context: ChannelHandlerContext) {
        guard connection.state == .open else {
            // The rest of the handshake flushes itself; the plain text waits for its end.
            flushWanted = true
            return
        }
        flushWanted = false
        encryptPending(context)
        context.flush()
    }

    private func encryptPending(_ context: ChannelHandlerContext) {
        guard let plain = pending else { return }
        pending = nil
        let waiting = promises
        promises = []
        var failed: TLSFailure?
        plain.withUnsafeReadableBytes { bytes in
            do throws(TLSFailure) { try connection.send(bytes) } catch { failed = error }
        }
        var promise: EventLoopPromise<Void>?
        if !waiting.isEmpty {
            let made = context.eventLoop.makePromise(of: Void.self)
            for one in waiting { made.futureResult.cascade(to: one) }
            promise = made
        }
        if let failed {
            writeOutput(context, promise: nil)
            promise?.fail(failed)
            return fail(context, failed)
        }
        writeOutput(context, promise: promise, flush: false)
    }

    /// Sends what OpenSSL wrote into the memory.
    private func writeOutput(_ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?, flush: Bool = true) {
        let buffer = memory.takeOutput { bytes in
            var buffer = context.channel.allocator.buffer(capacity: bytes.count)
            buffer.writeBytes(bytes)
            return buffer
        }
        guard let buffer else {
            promise?.succeed()
            return
        }
        context.write(wrapOutboundOut(buffer), promise: promise)
        if flush { context.flush() }
    }

    // MARK: The end

    public func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode != .input else { return context.close(mode: mode, promise: promise) }
        if isClosing {
            if let promise {
                if let closePromise { closePromise.futureResult.cascade(to: promise) } else { context.close(promise: promise) }
            }
            return
        }
        isClosing = true
        guard connection.state == .open, failure == nil else {
            finish(ChannelError.ioOnClosedChannel)
            return context.close(promise: promise)
        }
        // Before the promise of closing exists, so that a failure on the way closes at once.
        encryptPending(context)
        guard failure == nil else { return context.close(promise: promise) }
        closePromise = promise ?? context.eventLoop.makePromise(of: Void.self)
        connection.close()
        writeOutput(context, promise: nil)
        if connection.peerClosed { return endConnection(context) }
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: closeTimeout) { [self] in endConnection(context) }
        // Whoever closes may have stopped reading; the peer's close_notify must still be seen.
        if let options = context.channel.syncOptions { try? options.setOption(.autoRead, value: true) }
        context.read()
    }

    private func endConnection(_ context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        let promise = closePromise
        closePromise = nil
        context.close(promise: promise)
    }

    private func fail(_ context: ChannelHandlerContext, _ reason: TLSFailure) {
        guard failure == nil else { return }
        failure = reason
        let promise = closePromise
        closePromise = nil
        finish(reason)
        if !isClosing {
            isClosing = true
            context.fireUserInboundEventTriggered(TLSEvent.failed(reason))
        }
        context.close(promise: promise)
    }

    private func finish(_ error: any Error) {
        timer?.cancel()
        timer = nil
        pending = nil
        let waiting = promises
        promises = []
        for promise in waiting { promise.fail(error) }
        let promise = closePromise
        closePromise = nil
        promise?.succeed()
    }
}

@available(*, unavailable)
extension TLSHandler: Sendable {}
