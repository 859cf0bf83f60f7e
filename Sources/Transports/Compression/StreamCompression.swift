internal import CZlib
internal import NIOCore

/// Both directions of one compressed stream (XEP-0138, RFC 1950).
///
/// What was read is inflated only as it is asked for, a piece at a time, so that a small read which stands for a large text costs no
/// memory: it waits compressed until the stream wants more.
final class StreamCompression {
    enum Failure: Error, Equatable {
        /// The bytes are not what zlib writes, or go on behind its end.
        case damaged
        /// They stand for far more than any text a client has reason to send.
        case bomb
    }

    /// Bytes that one piece has at most.
    static let pieceBytes = 16_384
    /// Bytes that may come out for each one that went in, over the life of the stream. Text of stanzas is seldom beyond 20; the method
    /// allows 1,032.
    static let ratio: UInt64 = 200
    /// Bytes that may come out beyond `ratio`.
    static let allowance: UInt64 = 1_048_576

    // zlib keeps the address of these: they may not move.
    private let inflater: UnsafeMutablePointer<z_stream>
    private let deflater: UnsafeMutablePointer<z_stream>
    private var input = ByteBuffer()
    /// The last piece was full: zlib may hold more, though it has read everything.
    private var wasFull = false
    private var isOver = false
    private var taken: UInt64 = 0
    private var made: UInt64 = 0

    /// Nil when there is no memory for it.
    init?() {
        let inflater = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        inflater.initialize(to: z_stream())
        let deflater = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        deflater.initialize(to: z_stream())
        self.inflater = inflater
        self.deflater = deflater
        guard martlet_inflate_init(inflater) == Z_OK, martlet_deflate_init(deflater) == Z_OK else { return nil }
    }

    deinit {
        // Harmless on one that was never set up.
        inflateEnd(inflater)
        deflateEnd(deflater)
        inflater.deallocate()
        deflater.deallocate()
    }

    // MARK: In

    /// Bytes that were read and not yet inflated.
    var backlog: Int { input.readableBytes }
    /// Whether `inflate` may give more without another read.
    var hasMore: Bool { input.readableBytes > 0 || wasFull }

    /// Adds what was read.
    func take(_ bytes: inout ByteBuffer) {
        taken &+= UInt64(bytes.readableBytes)
        if input.readableBytes == 0 {
            input = bytes
        } else {
            input.discardReadBytes()
            input.writeBuffer(&bytes)
        }
    }

    /// Throws away what was read: nobody wants it any more.
    func drop() {
        input = ByteBuffer()
        wasFull = false
    }

    /// Appends the next piece to `output`, `pieceBytes` at most. Answers how many bytes it has.
    func inflate(into output: inout ByteBuffer) throws(Failure) -> Int {
        guard !isOver else { throw .damaged }
        var result = Z_OK
        var consumed = 0
        let count = input.withUnsafeReadableBytes { source in
            output.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.pieceBytes) { room in
                let most = min(room.count, Self.pieceBytes)
                let given = min(source.count, Int(Int32.max))
                inflater.pointee.next_in = UnsafeMutablePointer(mutating: source.bindMemory(to: UInt8.self).baseAddress)
                inflater.pointee.avail_in = UInt32(given)
                inflater.pointee.next_out = room.bindMemory(to: UInt8.self).baseAddress
                inflater.pointee.avail_out = UInt32(most)
                result = CZlib.inflate(inflater, Z_SYNC_FLUSH)
                consumed = given - Int(inflater.pointee.avail_in)
                return most - Int(inflater.pointee.avail_out)
            }
        }
        inflater.pointee.next_in = nil
        inflater.pointee.next_out = nil
        input.moveReaderIndex(forwardBy: consumed)
        if input.readableBytes == 0 { input = ByteBuffer() }
        wasFull = count == Self.pieceBytes
        switch result {
        case Z_OK: break
        // There was nothing left to give.
        case Z_BUF_ERROR where backlog == 0: break
        case Z_STREAM_END:
            isOver = true
            wasFull = false
        default: throw .damaged
        }
        made &+= UInt64(count)
        guard made <= Self.allowance || (made - Self.allowance) / Self.ratio <= taken else { throw .bomb }
        return count
    }

    // MARK: Out

    /// Compresses `bytes` into `output`.
    ///
    /// - Parameter flush: everything so far comes out, so that the peer can read it; without, zlib may keep it for a better fit.
    func deflate(_ bytes: UnsafeRawBufferPointer, flush: Bool, into output: inout ByteBuffer) {
        var rest = bytes
        repeat {
            // A piece that zlib's counters hold; the whole of it, in practice.
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Int(Int32.max)))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
            deflater.pointee.next_in = UnsafeMutablePointer(mutating: piece.bindMemory(to: UInt8.self).baseAddress)
            deflater.pointee.avail_in = UInt32(piece.count)
            let mode = flush && rest.isEmpty ? Z_SYNC_FLUSH : Z_NO_FLUSH
            var isFull = true
            while isFull {
                output.writeWithUnsafeMutableBytes(minimumWritableBytes: 1_024) { room in
                    let most = min(room.count, Int(Int32.max))
                    deflater.pointee.next_out = room.bindMemory(to: UInt8.self).baseAddress
                    deflater.pointee.avail_out = UInt32(most)
                    // It fails only when there is nothing to do, which is no failure here.
                    _ = CZlib.deflate(deflater, mode)
                    isFull = deflater.pointee.avail_out == 0
                    return most - Int(deflater.pointee.avail_out)
                }
            }
        } while !rest.isEmpty
        deflater.pointee.next_in = nil
        deflater.pointee.next_out = nil
    }
}
