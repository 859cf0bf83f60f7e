/// What a node tells of itself when a link opens.
public struct NodeInfo: Hashable, Sendable {
    /// Name and incarnation.
    public var id: NodeID
    /// The process, as its own pid namespace numbers it.
    public var pid: Int32
    /// When the process started, in clock ticks since boot (field 22 of `/proc/PID/stat`): tells it from one that reuses its number.
    public var startTime: UInt64
    /// The newest formats it can read and write.
    public var featureLevel: UInt16
    /// Its event loops, numbered from 0; at least 1.
    public var loops: Int
    /// The volume it serves, at most 64 bytes. Nodes of different volumes never link.
    public var volumeID: [UInt8]
    /// Product and version for the operator's eye, at most 128 bytes.
    public var product: String

    public init(
        id: NodeID, pid: Int32, startTime: UInt64, featureLevel: UInt16, loops: Int, volumeID: [UInt8], product: String
    ) {
        self.id = id
        self.pid = pid
        self.startTime = startTime
        self.featureLevel = featureLevel
        self.loops = loops
        self.volumeID = volumeID
        self.product = product
    }

    /// Whether the fields are within their limits, so that every node will take this hello.
    public var isValid: Bool {
        NodeID.isValid(name: id.name) && id.incarnation != 0 && pid > 0 && (1...Int(UInt16.max)).contains(loops)
            && volumeID.count <= 64 && product.utf8.count <= 128
    }
}

extension NodeID {
    /// A name is 1 to 32 of a–z, 0–9 and '-', and does not begin with '-': it becomes part of file names.
    public static func isValid(name: String) -> Bool {
        guard (1...32).contains(name.utf8.count), name.utf8.first != UInt8(ascii: "-") else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
            default: false
            }
        }
    }
}

/// Payloads of a lane keep their order among themselves; a lower number goes before a higher one.
public enum Lane: UInt8, Sendable, CaseIterable {
    /// Small things that must never wait: membership, placement, fencing.
    case control = 0
    /// Letters.
    case stanza = 1
    /// Resync, admin answers, archive pages.
    case bulk = 2
}

/// Why a node is no longer there.
public enum NodeDownReason: String, Sendable, CaseIterable {
    /// Its process ended, or another incarnation bears its name.
    case died
    /// It was silent and was killed.
    case fenced
    /// It said goodbye.
    case left
    /// It lives, but the state of the link can no longer be agreed on. Never linked again in this incarnation.
    case diverged
}

/// Bounds of a link, in bytes.
public struct LinkLimits: Sendable {
    /// A frame as it stands on the wire. Longer ones are a fault of the peer.
    public static let frameBytes = 1 << 20

    /// A larger payload travels in chunks of this size, so that the control lane waits for one chunk at most.
    public var chunkBytes: Int
    /// The largest payload.
    public var payloadBytes: Int
    /// What may be on its way on one lane before the sender waits for credit.
    public var laneCredit: Int

    /// Values outside what a frame allows are brought within it.
    public init(chunkBytes: Int = 1 << 18, payloadBytes: Int = 1 << 26, laneCredit: Int = 1 << 23) {
        self.chunkBytes = min(max(chunkBytes, 1), Self.frameBytes - FrameHeader.size - DataFrame.prefixBytes)
        self.payloadBytes = min(max(payloadBytes, 0), Int(UInt32.max))
        self.laneCredit = max(laneCredit, 1)
    }
}
