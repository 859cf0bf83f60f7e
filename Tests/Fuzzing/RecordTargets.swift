internal import Authentication
internal import LMDBStore
internal import Stanzas
internal import Store

/// A kind of value that is on disk, with its type forgotten.
private struct Kept: Sendable {
    /// Examples of its fields.
    let examples: [[UInt8]]
    /// Reads the fields under a checksum that is right, and writes them again; nil when they are refused.
    let again: @Sendable ([UInt8]) -> [UInt8]?
    /// Reads bytes as they stand; true when they are taken.
    let takes: @Sendable ([UInt8]) -> Bool
    /// Whether it reads what no writer of this program writes.
    var isTolerant = false

    static func sealed(version: UInt8, _ fields: [UInt8]) -> [UInt8] {
        let sum = ([version] + fields).withUnsafeBytes { CRC32C.checksum($0) }
        return [version] + withUnsafeBytes(of: sum.bigEndian) { [UInt8]($0) } + fields
    }

    init<R: Record>(_ key: Key, _ examples: R...) {
        self.examples = examples.map { Array($0.encode().dropFirst(5)) }
        again = { fields in (try? R.decode(Kept.sealed(version: R.version, fields), key: key)).map { Array($0.encode().dropFirst(5)) } }
        takes = { bytes in (try? R.decode(bytes, key: key)) != nil }
    }

    init(_ examples: [[UInt8]], again: @escaping @Sendable ([UInt8]) -> [UInt8]?) {
        self.examples = examples
        self.again = again
        takes = { again($0) != nil }
    }

    static let all: [Kept] = {
        let stanza = Stanza(
            kind: .message, type: .chat, id: "m", from: try? JID("romeo@montague.lit/orchard"), to: try? JID("juliet@capulet.lit"),
            lang: "it", payload: Payload(written: Array("<body>ciao</body><x xmlns='urn:x'/>".utf8)))
        var written = ByteWriter()
        stanza.encode(into: &written)
        var device = DeviceRecord(software: "s", device: nil, firstSeen: 1, lastSeen: 2, mechanism: "PLAIN")
        device.fresh = .init(secret: "t", mechanism: "HT-SHA-256-NONE", issued: 1, expires: 2, count: 3)
        device.current = .init(secret: "u", mechanism: "HT-SHA-256-NONE", issued: 1, expires: 2)
        let contact = RosterItemRecord(jid: "a@b", name: "n", groups: ["g", "h"], state: 3, version: 4, isRemoved: false, isListed: true)
        let request = PendingInRecord(jid: "a@b", stamp: -3, stanza: written.bytes)
        let message = MessageRecord(
            sequence: 77, stamp: 5, flags: [.owed, .archived], originSession: 6, inSeq: 7, originIDHash: 8, peer: 9, stanza: written.bytes)
        let credentials = (try? Credentials.derive(password: "x", iterations: 4_096, salts: { _ in [1, 2, 3, 4] }))?.encode() ?? []
        let pieces: [AccountPiece] = [
            .archiveKey(5), .contacts([contact], wins: true), .requests([request]),
            .items([.init(kind: .vcard, name: "", value: [1])], wins: false), .messages([message]),
        ]
        var stanzas = Kept([written.bytes]) { bytes in
            var reader = ByteReader(bytes)
            guard let stanza = try? Stanza.decode(&reader), reader.isAtEnd else { return nil }
            var writer = ByteWriter()
            stanza.encode(into: &writer, traced: true)
            return writer.bytes
        }
        stanzas.isTolerant = true
        return [
            stanzas,
            Kept(
                Keys.inbox(1, 2),
                AccountRecord(
                    jid: "a@b", number: 1, created: 2, credentials: [1, 2], lastCommand: 3, disabledReason: "r", disabledSince: 4,
                    rosterVersion: 5, lastUnavailable: 6, lastStatus: "s", sequenceFloor: 7)),
            Kept(Keys.inbox(1, 2), contact), Kept(Keys.inbox(1, 2), request), Kept(Keys.message(1, 2, sequence: 77), message),
            Kept(
                Keys.inbox(1, 2),
                InboxRecord(
                    ackedThrough: 9, owed: [3, 4, 900].map { OwedMessage($0, bytes: 100, isArchived: $0 == 4) }, spent: [1, 2, 5])),
            Kept(
                Keys.sessionRow(1, 2, session: 8),
                SessionRow(account: "a@b", session: 8, node: 1, resource: "r", directed: ["c@d", "e@f/g"])),
            Kept(Keys.tombstone(1, 9), TombstoneRecord(jid: "a@b", number: 9, deleted: 4)),
            Kept(Keys.inbox(1, 2), SecretRecord(kind: .fast, created: 77, bytes: [UInt8](repeating: 5, count: 32))),
            Kept(Keys.inbox(1, 2), ItemRecord(name: "n", value: [1, 2, 3])),
            Kept([device.encode()]) { bytes in DeviceRecord(bytes)?.encode() },
            Kept(pieces.map { $0.encode() }) { bytes in (try? AccountPiece(bytes))?.encode() },
            Kept([credentials]) { bytes in (try? Credentials.decode(bytes))?.encode() },
        ]
    }()
}

extension FuzzTarget {
    /// `kind u8 | fields`.
    static let records = FuzzTarget(
        "records", "A record that is taken is what its writer writes; anything else is named as damage", longest: 600,
        words: ["a@b", "juliet@example.com/balcony", "PLAIN", "\u{1}", "\u{0}", "ä"],
        seeds: { Kept.all.enumerated().flatMap { kind, kept in kept.examples.map { [UInt8(kind)] + $0 } } }
    ) { (input) throws(Breach) in
        var choices = Choices(input)
        let kept = Kept.all[choices.below(Kept.all.count)]
        let fields = choices.rest()
        // As it stands it has a checksum only by chance of one in four billion.
        if kept.takes(fields) { try hold(kept.again(fields) != nil, "bytes without a checksum are taken") }
        guard let written = kept.again(fields) else { return }
        // What a newer program wrote of a stanza's children counts as something else, and so is written otherwise.
        if let again = kept.again(written), again == written, kept.isTolerant { return }
        try hold(written == fields, "\(shownHex(fields)) is taken and written as \(shownHex(written))")
        // What looks at a stanza where it lies sees what the decoder sees.
        lookAt(fields)
    }

    private static func lookAt(_ fields: [UInt8]) {
        fields.withUnsafeBytes { raw in
            guard let stanza = try? EncodedStanza(raw) else { return }
            var written: [UInt8] = []
            stanza.write(into: &written, xmlns: "jabber:client")
        }
    }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func shownHex(_ bytes: [UInt8]) -> String { hex(bytes.prefix(120)) }

    /// `0 | bytes of a manifest` or `1 | values of one`.
    static let manifest = FuzzTarget(
        "manifest", "A manifest comes back as it was written; anything else is refused in a sentence",
        words: [
            "{", "}", "\"", "\\u0000", "\\", ":", ",", "\"format\": 1", "\"check\": \"", "\n", "1", "18446744073709551615",
            "2026-11-21T00:00:00Z",
        ],
        seeds: {
            let text =
                "{\n  \"format\": 1,\n  \"backup\": \"00\",\n  \"volume\": \"07\",\n  \"feature_level\": 1,\n  \"unicode\": \"15\",\n  \"server\": \"martletd\",\n  \"node\": \"a\",\n  \"epoch\": 1,\n  \"commit\": 2,\n  \"started\": \"2026-11-21T00:00:00Z\",\n  \"finished\": \"2026-11-21T00:00:01Z\",\n  \"rows\": 3,\n  \"accounts\": 4,\n  \"bytes\": 5,\n  \"sha256\": \"aa\"\n}\n"
            let body = Array(text.utf8)
            let sum = body.withUnsafeBytes { CRC32C.checksum($0) }
            let check = hex(withUnsafeBytes(of: sum.bigEndian) { [UInt8]($0) })
            let whole = Array(text.dropLast(3).utf8) + Array(",\n  \"check\": \"\(check)\"\n}\n".utf8)
            return [[0] + whole, [1] + whole, [1, 200, 34, 92, 0, 10, 255, 254]]
        }
    ) { (input) throws(Breach) in
        var choices = Choices(input)
        let changes = choices.flag()
        var read: Manifest
        do throws(StoreFailure) {
            read = try Manifest(changes ? sampleManifest : choices.rest())
        } catch {
            return try hold(!changes && error.description.count > 10, "the sample is refused, or without a sentence: \(error)")
        }
        if changes {
            read.backup = choices.text()
            read.node = choices.text()
            read.server = choices.text()
            read.unicodeVersion = choices.text()
            read.featureLevel = UInt32(truncatingIfNeeded: choices.number())
            read.epoch = choices.number()
            read.commit = choices.number()
            read.rows = choices.number()
            read.bytes = choices.number()
            read.started = 1_700_000_000_000_000 + Int64(truncatingIfNeeded: choices.number() % 1_000_000_000_000_000)
        }
        let written = read.encode()
        guard let again = try? Manifest(written) else { throw Breach("what is written is refused: \(shown(written))") }
        try hold(again == read, "another comes back: \(shown(written))")
    }

    private static var sampleManifest: [UInt8] { Array((manifest.seeds().first ?? [0]).dropFirst()) }
}
