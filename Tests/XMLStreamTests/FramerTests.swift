import Testing
import XMLStream

/// Frames found in bytes that arrive in pieces of the given sizes (cycled), as texts.
func frames(_ bytes: [UInt8], pieces: [Int], limits: XMLLimits = XMLLimits(), header: Bool = true) throws(ParseError) -> [String] {
    var framer = StanzaFramer(limits: limits, expectsHeader: header)
    var waiting: [UInt8] = []
    var found: [String] = []
    var offset = 0
    var turn = 0
    while offset < bytes.count {
        let end = min(bytes.count, offset + max(1, pieces[turn % pieces.count]))
        waiting.append(contentsOf: bytes[offset..<end])
        offset = end
        turn += 1
        try drain(&framer, &waiting, &found)
    }
    return found
}

private func drain(_ framer: inout StanzaFramer, _ waiting: inout [UInt8], _ found: inout [String]) throws(ParseError) {
    while true {
        let next = waiting.withUnsafeBytes { bytes in Result { () throws(ParseError) in try framer.next(bytes) } }
        switch try next.get() {
        case .needMore(let consumed):
            waiting.removeFirst(consumed)
            return
        case .header(let start, let end):
            found.append("H" + String(decoding: waiting[start..<end], as: UTF8.self))
            waiting.removeFirst(end)
        case .stanza(let start, let end):
            found.append("S" + String(decoding: waiting[start..<end], as: UTF8.self))
            waiting.removeFirst(end)
        case .end(let end):
            found.append("E" + String(decoding: waiting[..<end].drop { $0 <= 0x20 }, as: UTF8.self))
            waiting.removeFirst(end)
        }
    }
}

func frames(_ text: String, pieces: [Int] = [.max / 2], limits: XMLLimits = XMLLimits(), header: Bool = true) throws(ParseError) -> [String]
{
    try frames(Array(text.utf8), pieces: pieces, limits: limits, header: header)
}

private let head = "<stream:stream to='example.com' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"

@Suite struct FramerTests {
    static let stream =
        "<?xml version='1.0' encoding=\"utf-8\" ?>\n" + head + " \r\n<a/>\t<b><c x='>' y=\"/'>\"/><![CDATA[</b>]]]]><![CDATA[>]]>&lt;</b>"
        + "<d\n></d ><e a='1'><e><e/></e></e>\n\n</stream:stream>"

    @Test func findsTheFrames() throws {
        #expect(
            try frames(Self.stream) == [
                "H<?xml version='1.0' encoding=\"utf-8\" ?>\n" + head, "S<a/>",
                "S<b><c x='>' y=\"/'>\"/><![CDATA[</b>]]]]><![CDATA[>]]>&lt;</b>", "S<d\n></d >", "S<e a='1'><e><e/></e></e>",
                "E</stream:stream>",
            ])
    }

    @Test func anySplitGivesTheSameFrames() throws {
        let whole = try frames(Self.stream)
        for size in 1...40 {
            #expect(try frames(Self.stream, pieces: [size]) == whole)
            #expect(try frames(Self.stream, pieces: [size, 1, 3 * size]) == whole)
        }
        // Every single cut.
        let count = Self.stream.utf8.count
        for cut in 1..<count { #expect(try frames(Self.stream, pieces: [cut, count]) == whole) }
    }

    @Test func whiteSpaceIsGivenBackAtOnce() throws {
        var framer = StanzaFramer(limits: XMLLimits(), expectsHeader: false)
        #expect(try Array(" \n\t".utf8).withUnsafeBytes { try framer.next($0) } == .needMore(consumed: 3))
        #expect(try Array("  <a".utf8).withUnsafeBytes { try framer.next($0) } == .needMore(consumed: 2))
        #expect(try Array("<a/>".utf8).withUnsafeBytes { try framer.next($0) } == .stanza(start: 0, end: 4))
        #expect(try framer.next(UnsafeRawBufferPointer(start: nil, count: 0)) == .needMore(consumed: 0))
    }

    @Test func restartExpectsAHeaderAgain() throws {
        var framer = StanzaFramer(limits: XMLLimits())
        let bytes = Array(head.utf8)
        for _ in 0..<3 {
            #expect(try bytes.withUnsafeBytes { try framer.next($0) } == .header(start: 0, end: bytes.count))
            framer.restart()
        }
    }

    @Test(arguments: [
        // Declarations and what must not come before or instead of a header.
        ("\u{FEFF}" + head, ParseError.Reason.notWellFormed), ("x" + head, .notWellFormed), ("</stream:stream>", .notWellFormed),
        ("<?xml version='1.1'?>" + head, .notWellFormed), ("<?xml encoding='utf-8' version='1.0'?>" + head, .notWellFormed),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>" + head, .unsupportedEncoding),
        ("<?xml version='1.0' encoding='UTF-16'?>" + head, .unsupportedEncoding),
        ("<?xml version='1.0' standalone='x'?>" + head, .notWellFormed),
        ("<?xml version='1.0' foo='x'?>" + head, .notWellFormed), ("<?xml?>" + head, .restricted),
        ("<?xml-stylesheet href='x'?>" + head, .restricted),
        ("<?xml version='1.0'?><?xml version='1.0'?>" + head, .restricted), ("<!DOCTYPE stream:stream>" + head, .restricted),
        ("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>" + head, .restricted), ("<!-- -->" + head, .restricted),
        ("<?xml version='1.0'?>text" + head, .notWellFormed), ("<stream:stream/>", .badFormat),
        // Inside the stream.
        (head + "text<a/>", .badFormat), (head + "<!-- x --><a/>", .restricted), (head + "<?php x?>", .restricted),
        (head + "<a><!-- x --></a>", .restricted), (head + "<a><?x?></a>", .restricted), (head + "<a><!DOCTYPE x></a>", .restricted),
        (head + "<![CDATA[x]]><a/>", .restricted), (head + "<a><![cdata[x]]></a>", .restricted), (head + "<>", .notWellFormed),
        (head + "<<a/>", .notWellFormed), (head + "<a <b/>", .notWellFormed), (head + "<='x'/>", .notWellFormed),
    ])
    func refuses(_ text: String, _ reason: ParseError.Reason) throws {
        for pieces in [[Int.max / 2], [1]] {
            let error = try #require(throws: ParseError.self) { try frames(text, pieces: pieces) }
            #expect(error.reason == reason)
        }
    }

    @Test func utf16IsRefused() throws {
        for start: [UInt8] in [[0xFF, 0xFE, 0x3C, 0], [0xFE, 0xFF, 0, 0x3C], [0, 0x3C]] {
            #expect(throws: ParseError(.notWellFormed)) { try frames(start, pieces: [1]) }
        }
    }

    // MARK: Limits

    private func check(_ text: String, _ limits: XMLLimits, _ reason: ParseError.Reason?) throws {
        for pieces in [[Int.max / 2], [1], [7, 2]] {
            if let reason {
                let error = try #require(throws: ParseError.self) { try frames(text, pieces: pieces, limits: limits, header: false) }
                #expect(error.reason == reason)
            } else {
                #expect(try frames(text, pieces: pieces, limits: limits, header: false) == ["S" + text])
            }
        }
    }

    @Test func sizeIsBoundedToTheByte() throws {
        let text = "<a>" + String(repeating: "x", count: 100) + "</a>"
        try check(text, XMLLimits(stanzaBytes: text.utf8.count), nil)
        try check(text, XMLLimits(stanzaBytes: text.utf8.count - 1), .tooLarge)
    }

    /// Refused while it arrives, not once it has been buffered.
    @Test(arguments: ["<a b='", "<aaaaaa", "<a>", "<a><![CDATA[", "</a", "<a ", "<a>&#x"])
    func sizeIsBoundedWhileBytesArrive(_ start: String) throws {
        var framer = StanzaFramer(limits: XMLLimits(stanzaBytes: 1_000), expectsHeader: false)
        var bytes = Array(start.utf8)
        while bytes.count <= 1_000 {
            #expect(try bytes.withUnsafeBytes { try framer.next($0) } == .needMore(consumed: 0))
            bytes.append(contentsOf: "xxxxxxx".utf8)
        }
        #expect(throws: ParseError(.tooLarge)) { try bytes.withUnsafeBytes { try framer.next($0) } }
    }

    @Test func headerIsBounded() throws {
        let limits = XMLLimits(headerBytes: head.utf8.count)
        #expect(try frames(head, pieces: [1], limits: limits).count == 1)
        for text in [
            head.replacing("to=", with: "too="), "<?xml version='1.0'?>" + head,
            "<?xml version='1.0'?>" + String(repeating: " ", count: 400),
        ] {
            #expect(throws: ParseError(.tooLarge)) { try frames(text, pieces: [1], limits: limits) }
        }
    }

    @Test func depthIsBounded() throws {
        func nested(_ depth: Int) -> String { String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth) }
        try check(nested(5), XMLLimits(depth: 5), nil)
        try check(nested(6), XMLLimits(depth: 5), .tooDeep)
        try check("<a><a/><a><a/></a><a></a></a>", XMLLimits(depth: 3), nil)
        try check("<a><a><a/></a></a>", XMLLimits(depth: 2), .tooDeep)
    }

    @Test func attributesAreBounded() throws {
        func tag(_ count: Int, _ prefix: String = "a") -> String { "<x" + (0..<count).map { " \(prefix)\($0) = \n'v'" }.joined() + "/>" }
        try check(tag(8), XMLLimits(attributes: 8), nil)
        try check(tag(9), XMLLimits(attributes: 8), .tooManyAttributes)
        try check("<x a='1'>" + tag(8) + tag(8) + "</x>", XMLLimits(attributes: 8), nil)
        try check(tag(4, "xmlns:a"), XMLLimits(namespaceDeclarations: 4), nil)
        try check(tag(5, "xmlns:a"), XMLLimits(namespaceDeclarations: 4), .tooManyNamespaces)
        try check("<x xmlns='a' xmlns:b='c'/>", XMLLimits(namespaceDeclarations: 1), .tooManyNamespaces)
        try check(tag(9, "xmlnsx"), XMLLimits(namespaceDeclarations: 4), nil)
        try check(tag(9, "axmlns"), XMLLimits(namespaceDeclarations: 4), nil)
    }
}
