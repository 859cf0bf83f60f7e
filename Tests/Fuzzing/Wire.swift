internal import StreamLogic
internal import XMLStream

/// The bytes of a peer on their way through framer and parser, as a transport does it.
struct Wire {
    enum Arrival {
        case header(StreamHeader)
        /// An element, its bytes, and whether more than white space is behind it.
        case element(Element, [UInt8], followed: Bool)
        case end
        case fault(ParseError)
    }

    private var framer: StanzaFramer
    private let parser: XMLStreamParser
    private var header: StreamHeader?
    private(set) var waiting: [UInt8] = []
    private let limits: XMLLimits

    init(_ namespace: StreamNamespace, _ limits: XMLLimits) {
        self.limits = limits
        framer = StanzaFramer(limits: limits)
        parser = XMLStreamParser(namespace: namespace)
    }

    mutating func add(_ bytes: [UInt8]) { waiting += bytes }

    /// A header comes next.
    mutating func restart() {
        framer.restart()
        header = nil
    }

    /// What stood behind `<starttls/>` is void.
    mutating func drop() { waiting = [] }

    mutating func next() throws(Breach) -> Arrival? {
        let found = waiting.withUnsafeBytes { bytes in Result { () throws(ParseError) in try framer.next(bytes) } }
        switch found {
        case .failure(let error): return .fault(error)
        case .success(.needMore(let consumed)):
            waiting.removeFirst(consumed)
            try hold(waiting.count <= max(limits.stanzaBytes, limits.headerBytes), "\(waiting.count) bytes wait for their end")
            return nil
        case .success(.header(let start, let end)):
            let bytes = Array(waiting[start..<end])
            waiting.removeFirst(end)
            let read = bytes.withUnsafeBytes { bytes in Result { () throws(ParseError) in try parser.parse(header: bytes) } }
            switch read {
            case .failure(let error): return .fault(error)
            case .success(let read):
                header = read
                return .header(read)
            }
        case .success(.stanza(let start, let end)):
            let bytes = Array(waiting[start..<end])
            waiting.removeFirst(end)
            do throws(ParseError) {
                let element = try FuzzTarget.parse(bytes, parser, header)
                return .element(element, bytes, followed: waiting.contains { $0 > 0x20 })
            } catch {
                return .fault(error)
            }
        case .success(.end(let end)):
            waiting.removeFirst(end)
            return .end
        }
    }
}

/// What the server writes, read as its peer would: a stream that anybody can read.
struct Answers {
    private var framer = StanzaFramer(limits: XMLLimits(stanzaBytes: 1 << 20, headerBytes: 1 << 16))
    private let parser: XMLStreamParser
    private var header: StreamHeader?
    private var hasEnded = false
    private(set) var count = 0

    init(_ namespace: StreamNamespace) { parser = XMLStreamParser(namespace: namespace) }

    mutating func restart() {
        framer.restart()
        header = nil
    }

    mutating func take(_ write: (inout XMLWriter) -> Void) throws(Breach) {
        var writer = XMLWriter()
        write(&writer)
        var rest = writer.bytes
        count += rest.count
        while !rest.isEmpty {
            try hold(!hasEnded, "something is written behind the end: \(FuzzTarget.shown(rest))")
            let found = rest.withUnsafeBytes { bytes in Result { () throws(ParseError) in try framer.next(bytes) } }
            guard case .success(let frame) = found else { throw Breach("what is written is no stream: \(FuzzTarget.shown(rest))") }
            switch frame {
            case .needMore: throw Breach("what is written is not whole: \(FuzzTarget.shown(rest))")
            case .header(let start, let end):
                let bytes = Array(rest[start..<end])
                header = bytes.withUnsafeBytes { try? parser.parse(header: $0) }
                try hold(header != nil, "the header cannot be read: \(FuzzTarget.shown(bytes))")
                rest.removeFirst(end)
            case .stanza(let start, let end):
                let bytes = Array(rest[start..<end])
                try hold((try? FuzzTarget.parse(bytes, parser, header)) != nil, "it cannot be read: \(FuzzTarget.shown(bytes))")
                rest.removeFirst(end)
            case .end(let end):
                hasEnded = true
                rest.removeFirst(end)
            }
        }
    }
}
