import CZlib

/// A client's compression, with the widest window there is.
final class TestZlib {
    private let inflater = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let deflater = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

    init() throws {
        inflater.initialize(to: z_stream())
        deflater.initialize(to: z_stream())
        let size = CInt(MemoryLayout<z_stream>.size)
        guard inflateInit_(inflater, ZLIB_VERSION, size) == Z_OK, deflateInit_(deflater, Z_BEST_COMPRESSION, ZLIB_VERSION, size) == Z_OK
        else { throw TestTrouble("zlib") }
    }

    deinit {
        inflateEnd(inflater)
        deflateEnd(deflater)
        inflater.deallocate()
        deflater.deallocate()
    }

    /// - Parameter mode: `Z_FINISH` ends the compressed stream.
    func deflate(_ bytes: [UInt8], mode: CInt = Z_PARTIAL_FLUSH) -> [UInt8] {
        var output: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        var input = bytes
        input.withUnsafeMutableBufferPointer { input in
            deflater.pointee.next_in = input.baseAddress
            deflater.pointee.avail_in = UInt32(input.count)
            repeat {
                room.withUnsafeMutableBufferPointer { room in
                    deflater.pointee.next_out = room.baseAddress
                    deflater.pointee.avail_out = UInt32(room.count)
                    _ = CZlib.deflate(deflater, mode)
                }
                output += room.prefix(room.count - Int(deflater.pointee.avail_out))
            } while deflater.pointee.avail_out == 0
        }
        return output
    }

    func inflate(_ bytes: [UInt8]) throws -> [UInt8] {
        var output: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        var input = bytes
        var result = Z_OK
        input.withUnsafeMutableBufferPointer { input in
            inflater.pointee.next_in = input.baseAddress
            inflater.pointee.avail_in = UInt32(input.count)
            repeat {
                room.withUnsafeMutableBufferPointer { room in
                    inflater.pointee.next_out = room.baseAddress
                    inflater.pointee.avail_out = UInt32(room.count)
                    result = CZlib.inflate(inflater, Z_SYNC_FLUSH)
                }
                output += room.prefix(room.count - Int(inflater.pointee.avail_out))
            } while inflater.pointee.avail_out == 0
        }
        guard result == Z_OK || result == Z_BUF_ERROR || result == Z_STREAM_END else { throw TestTrouble("inflate: \(result)") }
        return output
    }
}
