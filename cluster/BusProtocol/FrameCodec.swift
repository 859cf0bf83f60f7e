import Stanzas

extension Frame {
    /// Appends the frame as it stands on the wire.
    public func encode(into bytes: inout [UInt8]) {
        switch body {
        case .hello(let hello):
            var writer = ByteWriter()
            hello.encode(into: &writer)
            header(.hello).encode(bodyBytes: writer.bytes.count, into: &bytes)
            bytes.append(contentsOf: writer.bytes)
        case .data(let data):
            FrameCodec.encode(
                lane: data.lane, part: data.part, bytes: data.bytes[...], sequence: sequence, acknowledged: acknowledged, into: &bytes)
        case .acknowledgement:
            header(.acknowledgement).encode(bodyBytes: 0, into: &bytes)
        case .credit(let totals):
            header(.credit).encode(bodyBytes: totals.count * 8, into: &bytes)
            for total in totals { FrameCodec.append(total, to: &bytes) }
        case .ping(let token):
            header(.ping).encode(bodyBytes: 8, into: &bytes)
            FrameCodec.append(token, to: &bytes)
        case .pong(let token):
            header(.pong).encode(bodyBytes: 8, into: &bytes)
            FrameCodec.append(token, to: &bytes)
        case .goodbye(let farewell):
            header(.goodbye).encode(bodyBytes: 1, into: &bytes)
            bytes.append(farewell.rawValue)
        }
    }

    private func header(_ kind: FrameHeader.Kind) -> FrameHeader {
        FrameHeader(kind: kind, sequence: sequence, acknowledged: acknowledged)
    }
}

/// Bytes ⇄ frames. Nothing is kept between calls; the caller holds what has not been consumed.
public enum FrameCodec {
    /// The frame at the start of `bytes` and its size, or nil when more bytes are needed. A length that no frame may have is refused
    /// before its bytes arrive.
    public static func decode(_ bytes: UnsafeRawBufferPointer) throws(LinkFault) -> (frame: Frame, size: Int)? {
        guard bytes.count >= 4 else { return nil }
        let length = Int(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
        guard length <= LinkLimits.frameBytes - 4 else { throw .oversized }
        guard length >= FrameHeader.size - 4 else { throw .malformed }
        guard bytes.count >= FrameHeader.size else { return nil }
        guard let kind = FrameHeader.Kind(rawValue: bytes[4]) else { throw .malformed }
        if kind != .data, length > Hello.maximumBytes { throw .oversized }
        guard bytes.count - 4 >= length else { return nil }
        guard bytes[7] == 0, kind == .data || (bytes[5] == 0 && bytes[6] == 0) else { throw .malformed }
        let body = UnsafeRawBufferPointer(rebasing: bytes[FrameHeader.size..<(4 + length)])
        let frame = Frame(
            sequence: load(bytes, at: 8), acknowledged: load(bytes, at: 16),
            body: try decode(kind, flags: bytes[5], lane: bytes[6], body))
        guard (frame.sequence != 0) == (kind == .data) else { throw .malformed }
        return (frame, 4 + length)
    }

    private static func decode(
        _ kind: FrameHeader.Kind, flags: UInt8, lane: UInt8, _ body: UnsafeRawBufferPointer
    ) throws(LinkFault) -> Frame.Body {
        switch kind {
        case .hello:
            var reader = ByteReader(Array(body))
            return .hello(try Hello(from: &reader))
        case .data:
            return .data(try decodeData(flags: flags, lane: lane, body))
        case .acknowledgement:
            guard body.isEmpty else { throw .malformed }
            return .acknowledgement
        case .credit:
            guard body.count == Lane.allCases.count * 8 else { throw .malformed }
            return .credit(Lane.allCases.indices.map { load(body, at: $0 * 8) })
        case .ping, .pong:
            guard body.count == 8 else { throw .malformed }
            return kind == .ping ? .ping(load(body, at: 0)) : .pong(load(body, at: 0))
        case .goodbye:
            guard body.count == 1, let farewell = Farewell(rawValue: body[0]) else { throw .malformed }
            return .goodbye(farewell)
        }
    }

    private static func decodeData(flags: UInt8, lane: UInt8, _ body: UnsafeRawBufferPointer) throws(LinkFault) -> DataFrame {
        guard let lane = Lane(rawValue: lane), flags & ~(FrameHeader.first | FrameHeader.last) == 0 else { throw .malformed }
        let part: DataFrame.Part
        var start = 0
        if flags & FrameHeader.first != 0 {
            guard body.count >= 4 else { throw .malformed }
            let from = UInt16(bigEndian: body.loadUnaligned(as: UInt16.self))
            let to = UInt16(bigEndian: body.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
            if flags & FrameHeader.last != 0 {
                part = .whole(fromLoop: from, toLoop: to)
                start = 4
            } else {
                guard body.count >= DataFrame.prefixBytes else { throw .malformed }
                let total = UInt32(bigEndian: body.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
                part = .first(fromLoop: from, toLoop: to, total: Int(total))
                start = DataFrame.prefixBytes
            }
        } else {
            part = flags & FrameHeader.last != 0 ? .last : .middle
        }
        return DataFrame(lane: lane, part: part, bytes: Array(body[start...]))
    }

    /// Appends a data frame whose bytes are a slice of a payload, without copying the slice first.
    static func encode(
        lane: Lane, part: DataFrame.Part, bytes: ArraySlice<UInt8>, sequence: UInt64, acknowledged: UInt64, into out: inout [UInt8]
    ) {
        var header = FrameHeader(kind: .data, lane: lane.rawValue, sequence: sequence, acknowledged: acknowledged)
        switch part {
        case .whole(let from, let to):
            header.flags = FrameHeader.first | FrameHeader.last
            header.encode(bodyBytes: 4 + bytes.count, into: &out)
            append(from, to: &out)
            append(to, to: &out)
        case .first(let from, let to, let total):
            header.flags = FrameHeader.first
            header.encode(bodyBytes: DataFrame.prefixBytes + bytes.count, into: &out)
            append(from, to: &out)
            append(to, to: &out)
            append(UInt32(clamping: total), to: &out)
        case .middle:
            header.encode(bodyBytes: bytes.count, into: &out)
        case .last:
            header.flags = FrameHeader.last
            header.encode(bodyBytes: bytes.count, into: &out)
        }
        out.append(contentsOf: bytes)
    }

    static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    private static func load(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

extension FrameHeader {
    func encode(bodyBytes: Int, into bytes: inout [UInt8]) {
        FrameCodec.append(UInt32(clamping: Self.size - 4 + bodyBytes), to: &bytes)
        bytes.append(kind.rawValue)
        bytes.append(flags)
        bytes.append(lane)
        bytes.append(0)
        FrameCodec.append(sequence, to: &bytes)
        FrameCodec.append(acknowledged, to: &bytes)
    }
}
