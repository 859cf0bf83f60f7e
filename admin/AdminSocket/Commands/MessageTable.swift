import AdminLanguage
import ServerCore
import Stanzas
import Store
import XMLStream

/// Kept messages as the administrator sees them.
enum MessageTable {
    /// One message.
    struct Row: Sendable {
        var id: String?
        var stamp: Int64
        var from: String
        var to: String
        var type: String
        /// What is in it, in a word or two.
        var what: String
        /// Of its row in the store.
        var bytes: Int
        var body: String?

        /// Bytes of a text that are shown.
        private static let bodyBound = 8_000

        init(_ message: ArchivedMessage, id: String, hasBody: Bool) {
            self.id = id
            stamp = message.stamp
            from = Self.text(message.stanza.from)
            to = Self.text(message.stanza.to)
            type = message.stanza.type.attribute ?? "normal"
            what = Self.words(message.stanza.mask)
            bytes = message.bytes
            if hasBody { body = Self.body(try? Payload(Array(message.stanza.payload))) }
        }

        init?(_ record: MessageRecord, hasBody: Bool) {
            var reader = ByteReader(record.stanza)
            guard let stanza = try? Stanza.decode(&reader) else { return nil }
            stamp = record.stamp
            from = stanza.from?.description ?? ""
            to = stanza.to?.description ?? ""
            type = stanza.type.attribute ?? "normal"
            what = Self.words(stanza.payload.facts.mask)
            bytes = record.stanza.count
            if hasBody { body = Self.body(stanza.payload) }
        }

        private static func text(_ field: UnsafeRawBufferPointer?) -> String { field.map { String(decoding: $0, as: UTF8.self) } ?? "" }

        private static func body(_ payload: Payload?) -> String? {
            guard let text = payload?.element(wrappedIn: .message)?.first(local: "body", namespace: NS.client)?.text else { return nil }
            guard text.utf8.count > bodyBound else { return text }
            var cut = ""
            for character in text {
                guard cut.utf8.count + character.utf8.count <= bodyBound else { break }
                cut.append(character)
            }
            return cut + "…"
        }

        private static let known: [(PayloadMask, String)] = [
            (.encrypted, "encrypted"), (.retraction, "retraction"), (.replacement, "correction"), (.body, "text"), (.subject, "subject"),
            (.reactions, "reactions"), (.receipt, "receipt"), (.marker, "marker"), (.outOfBand, "link"), (.directInvitation, "invitation"),
            (.jingleMessage, "call"), (.event, "event"),
        ]

        private static func words(_ mask: PayloadMask) -> String {
            let words = known.filter { mask.contains($0.0) }.map(\.1)
            return words.isEmpty ? "other" : words.joined(separator: ",")
        }
    }

    /// Writes the table.
    static func show(_ rows: some Sequence<Row>, hasBodies: Bool, _ reply: inout Reply) {
        reply.table("messages", ["stamp", "id", "from", "to", "type", "what", "bytes"] + (hasBodies ? ["body"] : []))
        for row in rows {
            var values: [ReplyValue] = [
                .text(DateTime(microseconds: row.stamp).description), ReplyValue(row.id), .text(row.from), .text(row.to), .text(row.type),
                .text(row.what), ReplyValue(row.bytes),
            ]
            if hasBodies { values.append(ReplyValue(row.body)) }
            reply.row(values)
        }
    }
}
