internal import CLibXML2
internal import XMLStream

#if canImport(Glibc)
    internal import Glibc
#endif

/// Why a file cannot be read on: a sentence for who wrote it, and the line.
public struct PortableFault: Error, Equatable, Sendable {
    public let line: Int
    public let sentence: String
    init(line: Int, _ sentence: String) {
        self.line = line
        self.sentence = sentence
    }
}

/// Takes a file of XEP-0227 apart as its bytes come: never more than one thing of one account is held.
///
/// libxml2 checks that the file is well-formed; a document type is refused before anything in it is read, so that no entity but the five
/// predefined ones exists, and nothing is ever fetched. Confined to one thread.
public final class PortableReader {
    /// What the file holds, in its order.
    public enum Event: Equatable, Sendable {
        /// The element that the file consists of.
        case root(Root, line: Int)
        /// Another file stands here (§5), as an element of this kind.
        case include(href: String, as: Root, line: Int)
        /// A line for the importing server.
        case line(PortableLine)
    }

    /// What a file may consist of.
    public enum Root: Int, Sendable, Comparable {
        case serverData, host, user
        /// One thing of an account.
        case part

        public static func < (a: Root, b: Root) -> Bool { a.rawValue < b.rawValue }
    }

    private let state: PortableState
    private var hasRead = false
    private let context: xmlParserCtxtPtr?

    /// - Parameters:
    ///   - expecting: what the file is to consist of: `serverData` for a main file, which may also consist of a lone host or user.
    public init(expecting root: Root = .serverData) {
        _ = libraryReady
        state = PortableState(expecting: root)
        var table = PortableState.table()
        context = xmlCreatePushParserCtxt(&table, Unmanaged.passUnretained(state).toOpaque(), nil, 0, nil)
        state.context = context
        if let context {
            // NOENT: without it `&amp;` in an attribute is handed over as the text `&#38;`; there is nothing else it could substitute.
            let options =
                XML_PARSE_NONET.rawValue | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue | XML_PARSE_NOENT.rawValue
            xmlCtxtUseOptions(context, Int32(bitPattern: options))
        }
    }

    deinit { if let context { xmlFreeParserCtxt(context) } }

    /// Takes the next bytes and gives what they made whole.
    /// - Throws: `PortableFault`; what was given before stands, and the reader is of no more use.
    public func read(_ bytes: UnsafeRawBufferPointer) throws(PortableFault) -> [Event] {
        guard let context, let count = Int32(exactly: bytes.count) else { throw PortableFault(line: 0, "there is not enough memory") }
        guard count > 0 else { return [] }
        hasRead = true
        _ = xmlParseChunk(context, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), count, 0)
        return try take()
    }

    /// The file ends here.
    /// - Throws: `PortableFault` when it is not whole.
    public func finish() throws(PortableFault) -> [Event] {
        guard let context else { throw PortableFault(line: 0, "there is not enough memory") }
        // What the parser says of it depends on what it saw before.
        guard hasRead else { throw PortableFault(line: 1, "it is empty, or not XML") }
        if state.fault == nil { _ = xmlParseChunk(context, nil, 0, 1) }
        // Bytes that cannot be converted from the encoding they seem to be in end the parsing without a word to the handlers.
        if state.fault == nil, context.pointee.wellFormed == 0 || !state.isComplete {
            state.fail("it is not XML, or ends before it is whole")
        }
        return try take()
    }

    private func take() throws(PortableFault) -> [Event] {
        let events = state.events
        state.events.removeAll(keepingCapacity: true)
        // What came before the fault is told first; the fault comes with the next call.
        if let fault = state.fault, events.isEmpty { throw fault }
        return events
    }

    /// What ended the reading, when something did.
    public var fault: PortableFault? { state.fault }
}

/// libxml2's tables must be made once before threads meet in them.
private let libraryReady: Void = xmlInitParser()
