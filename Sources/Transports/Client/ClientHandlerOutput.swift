internal import NIOCore
internal import ServerCore
internal import Stanzas
internal import StreamLogic
internal import Telemetry
internal import XMLStream

/// Writing and closing; what the session sees of its connection.
extension ClientHandler: ClientConnection {
    /// Writes a session's bytes and flushes: once a tick, as the session gathers them.
    func write(_ bytes: UnsafeRawBufferPointer, mark: UInt64) {
        guard let context, !stream.isClosing, let buffer = compression == nil ? gathered(bytes) : onWire(bytes, flush: true) else { return }
        askedMark = mark
        facts.bytesOut &+= UInt64(bytes.count)
        clients.traffic.sent.increment(by: UInt64(bytes.count))
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenSuccess { [self] in
            handedMark = mark
            // The kernel may take it at once, in the middle of a tick.
            clients.later(self)
        }
        context.writeAndFlush(wrapOutboundOut(buffer), promise: promise)
        needsFlush = false
    }

    /// The bytes in the loop's buffer, which is free again as soon as the kernel has them; a client that has not taken the last ones may
    /// keep these for a while, and gets a buffer of their size.
    private func gathered(_ bytes: UnsafeRawBufferPointer) -> ByteBuffer? {
        guard handedMark == askedMark, bytes.count <= ClientLoop.wireBytes else { return onWire(bytes, flush: true) }
        clients.wire.clear(minimumCapacity: ClientLoop.wireBytes)
        clients.wire.writeBytes(bytes)
        return clients.wire
    }

    func setReading(_ on: Bool) {
        sessionReads = on
        if on { clients.later(self) }
    }

    /// Ends the stream from this side, with an error or without, and the session with it.
    func close(_ error: StreamError?) {
        guard let closing = stream.close(error) else { return }
        finish(closing)
    }

    /// The socket goes, the session stays: what the client still sends is not looked at.
    func cut() {
        guard !stream.isClosing, let context else { return }
        toldSession = true
        session = nil
        resumption = nil
        isDeaf = true
        dropExchange()
        flush()
        // Not in the midst of a tick.
        context.eventLoop.assumeIsolated().execute { self.abandon() }
    }

    /// The socket of a stream without a resource goes, without a word, because the node leaves: whoever was about to resume a session sees
    /// a lost connection and no error, and tries another node.
    func letGo() {
        guard let context, !isDeaf else { return }
        isDeaf = true
        dropExchange()
        // Not in the midst of a tick.
        context.eventLoop.assumeIsolated().execute { self.abandon() }
    }

    /// Goes on where it had to wait: tells the session what the kernel has, and works off what was read.
    func carryOn() {
        if !toldSession { tellWritten() }
        process()
        flush()
    }

    // MARK: Writing

    func put(_ body: (inout XMLWriter) -> Void) {
        // Into the memory of the last time: what is written is copied to the wire.
        var writer = XMLWriter(clients.takeScratch())
        body(&writer)
        put(writer.bytes)
        clients.give(back: writer.bytes)
    }

    func put(_ bytes: [UInt8]) {
        guard let context else { return }
        facts.bytesOut &+= UInt64(bytes.count)
        clients.traffic.sent.increment(by: UInt64(bytes.count))
        if let buffer = bytes.withUnsafeBytes({ onWire($0, flush: false) }) { context.write(wrapOutboundOut(buffer), promise: nil) }
        needsFlush = true
    }

    func flush() {
        guard needsFlush, let context else { return }
        needsFlush = false
        if compression != nil, let rest = onWire(UnsafeRawBufferPointer(start: nil, count: 0), flush: true) {
            context.write(wrapOutboundOut(rest), promise: nil)
        }
        context.flush()
    }

    // MARK: The end

    /// Writes the end of the stream, tells the session, and waits a bounded time for the peer's end.
    ///
    /// - Parameter end: what the session is told; by default the error in `closing`.
    func finish(_ closing: Closing, _ end: StreamEnd? = nil) {
        dropExchange()
        if let error = closing.error { clients.service.metrics.sent(error) }
        tellSession(end ?? closing.error.map(StreamEnd.failed) ?? .closedByPeer)
        put { StreamWriting.closing(closing, id: clients.streamIDs.next(), into: &$0) }
        endOutput()
    }

    /// Our closing tag is written: closes the connection when it is out and the peer's has come, or after a while.
    func endOutput() {
        guard let context, let rest = onWire(UnsafeRawBufferPointer(start: nil, count: 0), flush: true) else { return }
        deadline = clients.loop.now + .seconds(Self.closeSeconds)
        clients.hurry(self)
        sessionReads = true
        clients.later(self)
        needsFlush = false
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in
            lastWritten = true
            closeIfDone()
        }
        // Last, since with it the connection may be gone.
        context.writeAndFlush(wrapOutboundOut(rest), promise: promise)
    }

    func closeIfDone() {
        if peerEnded, lastWritten { abandon() }
    }

    /// Closes the connection without another word of XMPP.
    func abandon() { context?.close(promise: nil) }

    func tellSession(_ end: StreamEnd) {
        resumption?.streamClosed()
        resumption = nil
        guard let session, !toldSession else { return }
        // What the kernel has must not be delivered again, whether the session has heard of it or not.
        tellWritten()
        toldSession = true
        session.streamClosed(end)
    }

    private func tellWritten() {
        guard handedMark != toldMark else { return }
        toldMark = handedMark
        session?.written(through: handedMark)
    }
}
