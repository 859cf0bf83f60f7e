import CLibXML2
import XMLStream

/// What the parser's callbacks work on.
final class PortableState {
    /// An open element whose children are looked at one by one.
    private enum Frame {
        case document, serverData, host, user
        /// A list of things of an account.
        case list(Portable.Place)
        /// `<pubsub/>`, of which only the kinds are told.
        case pubsub
    }

    /// A thing of an account that is being copied.
    private struct Part {
        var place: Portable.Place
        var line: Int
        var kind: String
        var writer = XMLWriter()
        var open: [(name: String, namespace: String)] = []
        /// Where the start tag ends that was written last.
        var start = 0
        var isTooLarge = false
        var isUnbound = false
    }

    private let expecting: PortableReader.Root
    private var frames: [Frame] = [.document]
    private var hasRoot = false
    private var part: Part?
    /// Open elements that nobody looks at.
    private var skipped = 0
    /// The piece of a CDATA section that came last ends in a carriage return: a line feed that follows belongs to it.
    private var endsInReturn = false
    /// A prefix of the tag that comes next is not declared.
    private var isUnbound = false
    var context: xmlParserCtxtPtr?
    var events: [PortableReader.Event] = []
    private(set) var fault: PortableFault?

    init(expecting root: PortableReader.Root) { expecting = root }

    /// Whether there was a root and it is closed.
    var isComplete: Bool { hasRoot && frames.count == 1 && part == nil && skipped == 0 }

    private var line: Int { context.map { Int(xmlSAX2GetLineNumber($0)) } ?? 0 }

    func fail(_ sentence: String) {
        if fault == nil { fault = PortableFault(line: line, sentence) }
        if let context { xmlStopParser(context) }
    }

    // MARK: Elements

    fileprivate func start(_ name: String, _ namespace: String, _ attributes: [Attribute]) {
        defer { isUnbound = false }
        guard fault == nil else { return }
        guard skipped == 0 else {
            skipped += 1
            return
        }
        guard part == nil else { return open(name, namespace, attributes) }
        switch frames.last {
        case .document: startRoot(name, namespace, attributes)
        case .serverData: startInServerData(name, namespace, attributes)
        case .host: startInHost(name, namespace, attributes)
        case .user: startInUser(name, namespace, attributes)
        case .list(let place): begin(place, name, namespace, attributes)
        case .pubsub:
            let node = attributes.first { $0.name == "node" && $0.namespace.isEmpty }?.value ?? ""
            pass(name == "items" ? "PEP node \(node)" : "\(name) of PEP nodes")
        case nil: fail("the file has more than one root")
        }
    }

    private func startRoot(_ name: String, _ namespace: String, _ attributes: [Attribute]) {
        let root: PortableReader.Root? =
            switch (namespace, name) {
            case (Portable.namespace, "server-data"): .serverData
            case (Portable.namespace, "host"): .host
            case (Portable.namespace, "user"): .user
            default: expecting == .part ? .part : nil
            }
        guard let root, expecting == root || expecting == .serverData else {
            return fail("the file is not of XEP-0227: its root is \(Self.kind(name, namespace))")
        }
        hasRoot = true
        events.append(.root(root, line: line))
        switch root {
        case .serverData: frames.append(.serverData)
        case .host: startHost(attributes)
        case .user: startUser(attributes)
        case .part: startInUser(name, namespace, attributes)
        }
    }

    private func startInServerData(_ name: String, _ namespace: String, _ attributes: [Attribute]) {
        switch (namespace, name) {
        case (Portable.namespace, "host"): startHost(attributes)
        case (Portable.xInclude, "include"): include(.host, attributes)
        default: pass(Self.kind(name, namespace))
        }
    }

    private func startHost(_ attributes: [Attribute]) {
        guard let jid = attributes.first(where: { $0.name == "jid" && $0.namespace.isEmpty })?.value else {
            return fail("a host has no jid")
        }
        events.append(.line(.host(line: line, jid: jid)))
        frames.append(.host)
    }

    private func startInHost(_ name: String, _ namespace: String, _ attributes: [Attribute]) {
        switch (namespace, name) {
        case (Portable.namespace, "user"): startUser(attributes)
        case (Portable.xInclude, "include"): include(.user, attributes)
        default: pass(Self.kind(name, namespace))
        }
    }

    private func startUser(_ attributes: [Attribute]) {
        var writer = XMLWriter()
        writer.raw("<user")
        writer.attribute("xmlns", Portable.namespace)
        for item in attributes where item.namespace.isEmpty { writer.attribute(item.name, item.value) }
        writer.raw("/>")
        events.append(.line(.user(line: line, xml: String(decoding: writer.bytes, as: UTF8.self))))
        frames.append(.user)
    }

    private func startInUser(_ name: String, _ namespace: String, _ attributes: [Attribute]) {
        switch (namespace, name) {
        case (Portable.namespace, "offline-messages"): frames.append(.list(.offline))
        case (Portable.archive, "archive"):
            frames.append(.list(.archive))
            // That there is one is told too, though it may be empty.
            events.append(.line(.part(line: line, place: .user, xml: "<archive xmlns='\(Portable.archive)'/>")))
        case (Portable.roster, "query"): frames.append(.list(.roster))
        case (Portable.privateXML, "query"): frames.append(.list(.privateXML))
        case (Portable.blocking, "blocklist"): frames.append(.list(.blocked))
        case (Portable.pubsub, "pubsub"), (Portable.pubsub + "#owner", "pubsub"): frames.append(.pubsub)
        case (Portable.xInclude, "include"): include(.part, attributes)
        default: begin(.user, name, namespace, attributes)
        }
    }

    private func include(_ root: PortableReader.Root, _ attributes: [Attribute]) {
        skipped = 1
        func value(_ name: String) -> String? { attributes.first { $0.name == name && $0.namespace.isEmpty }?.value }
        guard let href = value("href"), value("xpointer") == nil, value("parse") ?? "xml" == "xml" else {
            events.append(.line(.passed(line: line, kind: "include that is more than a file")))
            return
        }
        events.append(.include(href: href, as: root, line: line))
    }

    /// An element that is told of, and not looked into.
    private func pass(_ kind: String) {
        skipped = 1
        events.append(.line(.passed(line: line, kind: kind)))
    }

    private static func kind(_ name: String, _ namespace: String) -> String {
        namespace.isEmpty ? "<\(name)/>" : "<\(name)/> of \(namespace)"
    }

    // MARK: Copying

    private func begin(_ place: Portable.Place, _ name: String, _ namespace: String, _ attributes: [Attribute]) {
        part = Part(place: place, line: line, kind: Self.kind(name, namespace))
        open(name, namespace, attributes)
    }

    /// Namespaces are declared anew where they change, prefixes of attributes are the writer's own: what comes out stands alone.
    ///
    /// Not every server declares `jabber:client` where it writes stanzas into its file (Prosody's requests): nothing in a thing of an
    /// account is of the file's own namespace.
    private func open(_ name: String, _ written: String, _ attributes: [Attribute]) {
        let namespace = written == Portable.namespace ? "jabber:client" : written
        if isUnbound { part?.isUnbound = true }
        let outer = part?.open.last?.namespace ?? "jabber:client"
        part?.open.append((name, namespace))
        guard part?.isTooLarge == false else { return }
        part?.writer.raw("<")
        part?.writer.raw(name)
        if namespace != outer { part?.writer.attribute("xmlns", namespace) }
        var prefixes = ["": "", "http://www.w3.org/XML/1998/namespace": "xml:"]
        for item in attributes {
            if prefixes[item.namespace] == nil {
                let made = "a\(prefixes.count)"
                part?.writer.attribute("xmlns:" + made, item.namespace)
                prefixes[item.namespace] = made + ":"
            }
            part?.writer.attribute((prefixes[item.namespace] ?? "") + item.name, item.value)
        }
        part?.writer.raw(">")
        let end = part?.writer.bytes.count ?? 0
        part?.start = end
        bound()
    }

    /// What is empty is written as one tag, so that it comes out as it went in.
    private func close(_ name: String) {
        guard let part, part.writer.bytes.count == part.start else {
            self.part?.writer.end(name)
            return
        }
        self.part?.writer.bytes.removeLast()
        self.part?.writer.raw("/>")
    }

    private func bound() {
        guard let size = part?.writer.bytes.count, size > Portable.partBytes else { return }
        part?.isTooLarge = true
        part?.writer = XMLWriter()
    }

    fileprivate func end() {
        guard fault == nil else { return }
        if skipped > 0 {
            skipped -= 1
            return
        }
        guard part != nil else { return endFrame() }
        guard let closing = part?.open.popLast() else { return }
        if part?.isTooLarge == false { close(closing.name) }
        bound()
        guard let whole = part, whole.open.isEmpty else { return }
        part = nil
        if whole.isTooLarge {
            events.append(.line(.passed(line: whole.line, kind: "\(whole.kind) over \(Portable.partBytes) bytes")))
        } else if whole.isUnbound {
            events.append(.line(.passed(line: whole.line, kind: "\(whole.kind) with a prefix that is not declared")))
        } else {
            events.append(
                .line(.part(line: whole.line, place: whole.place, xml: String(decoding: whole.writer.bytes, as: UTF8.self))))
        }
    }

    private func endFrame() {
        guard let last = frames.popLast() else { return }
        if case .user = last { events.append(.line(.end)) }
    }

    fileprivate func text(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard fault == nil, skipped == 0, part?.isTooLarge == false, !bytes.isEmpty else { return }
        part?.writer.text(String(decoding: bytes, as: UTF8.self))
        bound()
    }

    /// A CDATA section, or a piece of one. libxml2's push parser hands it over as it stands: its line ends are still to be normalised
    /// (XML 1.0 §2.11).
    fileprivate func section(_ bytes: UnsafeBufferPointer<UInt8>) {
        var start = 0
        if endsInReturn, bytes.first == 0x0A { start = 1 }
        endsInReturn = bytes.last == 0x0D
        for i in bytes.indices where bytes[i] == 0x0D {
            text(UnsafeBufferPointer(rebasing: bytes[start..<i]))
            start = i + 1
            if start < bytes.count, bytes[start] == 0x0A { continue }
            withUnsafePointer(to: UInt8(0x0A)) { text(UnsafeBufferPointer(start: $0, count: 1)) }
        }
        text(UnsafeBufferPointer(rebasing: bytes[start...]))
    }

    // MARK: Complaints

    /// What libxml2 complains of, in words of our own: its own may repeat what stands in the file, a password among it.
    fileprivate func report(_ code: Int32, _ level: xmlErrorLevel) {
        guard level.rawValue >= XML_ERR_ERROR.rawValue, fault == nil else { return }
        switch UInt32(bitPattern: code) {
        case XML_WAR_NS_URI.rawValue, XML_WAR_NS_URI_RELATIVE.rawValue: return
        case XML_NS_ERR_UNDEFINED_NAMESPACE.rawValue: isUnbound = true
        case XML_ERR_UNDECLARED_ENTITY.rawValue, XML_WAR_UNDECLARED_ENTITY.rawValue:
            fail("it uses an entity that XML itself does not know, and none is expanded")
        case XML_ERR_INVALID_ENCODING.rawValue, XML_ERR_INVALID_CHAR.rawValue: fail("it holds bytes or characters that XML does not allow")
        case XML_ERR_UNSUPPORTED_ENCODING.rawValue, XML_ERR_UNKNOWN_ENCODING.rawValue: fail("its encoding is not known; write it as UTF-8")
        case XML_ERR_TAG_NAME_MISMATCH.rawValue: fail("an element is closed that is not the one opened last")
        case XML_ERR_DOCUMENT_EMPTY.rawValue: fail("it is empty, or not XML")
        case XML_ERR_DOCUMENT_END.rawValue, XML_ERR_TAG_NOT_FINISHED.rawValue, XML_ERR_GT_REQUIRED.rawValue:
            fail("it is not well-formed, or ends before it is whole")
        case XML_ERR_NO_MEMORY.rawValue: fail("there is not enough memory")
        default: fail("it is not well-formed XML")
        }
    }
}

// MARK: Callbacks

/// An attribute as the parser hands it over.
private struct Attribute {
    var name: String
    var namespace: String
    var value: String
}

extension PortableState {
    private static func of(_ context: UnsafeMutableRawPointer?) -> PortableState? {
        context.map { Unmanaged<PortableState>.fromOpaque($0).takeUnretainedValue() }
    }

    private static func text(_ bytes: UnsafePointer<xmlChar>?) -> String { bytes.map { String(cString: $0) } ?? "" }

    /// The handlers, with the state as their context.
    static func table() -> xmlSAXHandler {
        var sax = xmlSAXHandler()
        // Without the mark only the first version's part is copied.
        sax.initialized = UInt32(XML_SAX2_MAGIC)
        sax.startElementNs = { context, local, _, uri, _, _, count, _, values in
            guard let state = PortableState.of(context) else { return }
            var attributes: [Attribute] = []
            if let values {
                for index in 0..<Int(count) {
                    guard let value = values[5 * index + 3], let end = values[5 * index + 4] else { continue }
                    attributes.append(
                        Attribute(
                            name: PortableState.text(values[5 * index]), namespace: PortableState.text(values[5 * index + 2]),
                            value: String(decoding: UnsafeBufferPointer(start: value, count: end - value), as: UTF8.self)))
                }
            }
            state.start(PortableState.text(local), PortableState.text(uri), attributes)
        }
        sax.endElementNs = { context, _, _, _ in PortableState.of(context)?.end() }
        sax.characters = { context, bytes, count in
            guard let bytes, count > 0 else { return }
            PortableState.of(context)?.text(UnsafeBufferPointer(start: bytes, count: Int(count)))
        }
        sax.ignorableWhitespace = sax.characters
        sax.cdataBlock = { context, bytes, count in
            guard let bytes, count > 0 else { return }
            PortableState.of(context)?.section(UnsafeBufferPointer(start: bytes, count: Int(count)))
        }
        sax.internalSubset = { context, _, _, _ in
            PortableState.of(context)?.fail("it has a document type, which nothing of XEP-0227 needs: entities are not expanded")
        }
        sax.serror = { context, error in
            guard let error else { return }
            PortableState.of(context)?.report(error.pointee.code, error.pointee.level)
        }
        return sax
    }
}
