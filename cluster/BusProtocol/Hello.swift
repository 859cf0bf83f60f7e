import Stanzas

/// The first frame of each side of a connection. The dialer's comes first, since only it knows whom it calls.
public struct Hello: Equatable, Sendable {
    /// The newest protocol this program speaks.
    public static let newest: UInt16 = 1
    /// The oldest protocol this program speaks.
    public static let oldest: UInt16 = 1
    /// The most bytes a hello takes.
    static let maximumBytes = 4096
    private static let magic: UInt32 = 0x4D42_5553

    /// The protocols the sender speaks. The link speaks the newest both know.
    public var newest: UInt16
    public var oldest: UInt16
    public var node: NodeInfo
    /// The incarnation of the receiver that `received` is about; 0 when the two never met.
    public var peerIncarnation: UInt64
    /// The last data frame the sender received from that incarnation: replay begins after it.
    public var received: UInt64

    public init(
        node: NodeInfo, peerIncarnation: UInt64, received: UInt64, newest: UInt16 = Hello.newest, oldest: UInt16 = Hello.oldest
    ) {
        self.node = node
        self.peerIncarnation = peerIncarnation
        self.received = received
        self.newest = newest
        self.oldest = oldest
    }

    func encode(into writer: inout ByteWriter) {
        writer.uint32(Self.magic)
        writer.uint16(newest)
        writer.uint16(oldest)
        writer.string(node.id.name)
        writer.uint64(node.id.incarnation)
        writer.uint32(UInt32(bitPattern: node.pid))
        writer.uint64(node.startTime)
        writer.uint16(node.featureLevel)
        writer.uint16(UInt16(clamping: node.loops))
        writer.bytes(node.volumeID)
        writer.string(node.product)
        writer.uint64(peerIncarnation)
        writer.uint64(received)
    }

    /// Bytes after the last field are those of a newer protocol, and are passed over.
    init(from reader: inout ByteReader) throws(LinkFault) {
        do {
            guard try reader.uint32() == Self.magic else { throw LinkFault.malformed }
            newest = try reader.uint16()
            oldest = try reader.uint16()
            let name = try reader.string()
            let incarnation = try reader.uint64()
            let pid = Int32(bitPattern: try reader.uint32())
            let startTime = try reader.uint64()
            let featureLevel = try reader.uint16()
            let loops = Int(try reader.uint16())
            let volumeID = try reader.bytes()
            let product = try reader.string()
            node = NodeInfo(
                id: NodeID(name: name, incarnation: incarnation), pid: pid, startTime: startTime, featureLevel: featureLevel,
                loops: loops, volumeID: volumeID, product: product)
            peerIncarnation = try reader.uint64()
            received = try reader.uint64()
        } catch {
            throw .malformed
        }
        guard node.isValid, oldest <= newest else { throw .malformed }
    }
}
