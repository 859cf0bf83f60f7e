internal import Logging
internal import NIOCore
internal import ServerCore
internal import Stanzas
internal import StreamLogic
internal import Telemetry

/// Stream compression (XEP-0138), between TLS and the framer.
extension ClientHandler {
    /// Bytes that are inflated in one turn of the loop; the rest waits until the others had theirs.
    static let inflatedBytes = 262_144

    func compress() {
        guard let made = StreamCompression() else {
            clients.service.log.error("no memory to compress a stream", metadata: ["address": "\(origin.remote)"])
            return act(on: stream.compressionFailed())
        }
        guard stream.compressed() else { return }
        put { StreamWriting.compressed(into: &$0) }
        flush()
        // White space, or it would have been refused.
        dropInput()
        restartFraming()
        compression = made
        facts.isCompressed = true
        clients.service.metrics.compression(.compressed)
    }

    func refuseCompression(_ failure: ClientStream.CompressionFailure, _ closing: Closing?) {
        clients.service.metrics.compression(.refused)
        put { StreamWriting.compressionFailure(failure, into: &$0) }
        if let closing { finish(closing) }
    }

    /// Compressed bytes cannot be read, or will not: nothing that comes behind them can be.
    func compressionFailed(_ failure: StreamCompression.Failure) {
        clients.service.log.info("compressed stream refused", metadata: ["address": "\(origin.remote)", "reason": "\(failure)"])
        switch failure {
        case .damaged:
            clients.service.metrics.compression(.damaged)
            close(StreamError(.undefinedCondition, application: StreamWriting.compressionProcessingFailed))
        case .bomb:
            clients.service.metrics.compression(.bomb)
            close(StreamError(.policyViolation, text: "Compressed too well"))
        }
    }

    /// What goes to the wire for these bytes of the stream.
    ///
    /// - Parameter flush: the peer shall have all of them.
    func onWire(_ bytes: UnsafeRawBufferPointer, flush: Bool) -> ByteBuffer? {
        guard let context else { return nil }
        guard let compression else {
            var buffer = context.channel.allocator.buffer(capacity: bytes.count)
            buffer.writeBytes(bytes)
            return buffer
        }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count / 2 + 64)
        compression.deflate(bytes, flush: flush, into: &buffer)
        clients.service.metrics.compressedOut.increment(by: UInt64(buffer.readableBytes))
        return buffer
    }
}
