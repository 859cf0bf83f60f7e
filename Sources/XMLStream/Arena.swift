/// One node of an arena: an element or a run of text. Offsets count into the arena's text unless said otherwise.
struct NodeRecord: BitwiseCopyable {
    /// Index in the name table; 0 for names that are not in it, whose texts then stand in the arena.
    var name: UInt16
    var isText: Bool
    /// Index behind the node's last descendant.
    var end: UInt32
    /// Local name, or the text itself.
    var string: UInt32
    var length: UInt32
    var namespace: UInt32
    var namespaceLength: UInt32
    /// First attribute record, and how many.
    var attributes: UInt32
    var attributeCount: UInt32
    /// Source bytes of the element, for the root and its children; 0 otherwise.
    var start: UInt32
    var stop: UInt32
}

/// One attribute; its value is decoded.
struct AttributeRecord: BitwiseCopyable {
    var name: UInt32
    var nameLength: UInt32
    var namespace: UInt32
    var namespaceLength: UInt32
    var value: UInt32
    var valueLength: UInt32
}

/// A declaration that a child of the root needs to stand alone, and where in the source it belongs.
struct Insertion: Sendable {
    var position: Int
    var declaration: [UInt8]
}

/// The immutable storage of one parsed tree: node records, attribute records and text in one allocation of exact size.
final class Arena: @unchecked Sendable {
    // Sendable: nothing is written after init.
    let nodes: UnsafePointer<NodeRecord>
    let nodeCount: Int
    let attributes: UnsafePointer<AttributeRecord>
    let text: UnsafePointer<UInt8>
    /// Where the content of the root stands in the source: behind its start tag, before its end tag.
    let content: Range<Int>
    /// The name table's generation when names were looked up: as long as it stands, an unknown name is still unknown.
    let generation: Int
    /// In order of position.
    let insertions: [Insertion]
    private let storage: UnsafeMutableRawPointer

    init(
        nodes: UnsafeBufferPointer<NodeRecord>, attributes: UnsafeBufferPointer<AttributeRecord>, text: UnsafeBufferPointer<UInt8>,
        content: Range<Int>, insertions: [Insertion], generation: Int
    ) {
        let nodeBytes = nodes.count * MemoryLayout<NodeRecord>.stride
        let attributeBytes = attributes.count * MemoryLayout<AttributeRecord>.stride
        storage = UnsafeMutableRawPointer.allocate(
            byteCount: nodeBytes + attributeBytes + text.count, alignment: MemoryLayout<NodeRecord>.alignment)
        if let source = nodes.baseAddress { storage.copyMemory(from: source, byteCount: nodeBytes) }
        if let source = attributes.baseAddress { (storage + nodeBytes).copyMemory(from: source, byteCount: attributeBytes) }
        if let source = text.baseAddress { (storage + nodeBytes + attributeBytes).copyMemory(from: source, byteCount: text.count) }
        self.nodes = UnsafePointer(storage.bindMemory(to: NodeRecord.self, capacity: nodes.count))
        self.attributes = UnsafePointer((storage + nodeBytes).bindMemory(to: AttributeRecord.self, capacity: attributes.count))
        self.text = UnsafePointer((storage + nodeBytes + attributeBytes).bindMemory(to: UInt8.self, capacity: text.count))
        nodeCount = nodes.count
        self.content = content
        self.insertions = insertions
        self.generation = generation
    }

    deinit { storage.deallocate() }

    func bytes(_ offset: UInt32, _ length: UInt32) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: text + Int(offset), count: Int(length))
    }

    func string(_ offset: UInt32, _ length: UInt32) -> String {
        length == 0 ? "" : String(decoding: bytes(offset, length), as: UTF8.self)
    }
}
