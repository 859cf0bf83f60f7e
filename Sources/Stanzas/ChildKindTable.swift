import XMLStream

extension ChildKind {
    /// The kind of a top-level child of a stanza, by its name.
    init(_ name: Name) {
        let table = Self.byName
        let index = Int(name.index)
        self = index < table.count ? table[index] : .other
    }

    /// Index: the number of the name.
    private static let byName: [ChildKind] = {
        let client = "jabber:client"
        let hints = "urn:xmpp:hints"
        let carbons = "urn:xmpp:carbons:2"
        let sid = "urn:xmpp:sid:0"
        let receipts = "urn:xmpp:receipts"
        let markers = "urn:xmpp:chat-markers:0"
        let states = "http://jabber.org/protocol/chatstates"
        let jingle = "urn:xmpp:jingle-message:0"
        let table: [(String, String, ChildKind)] = [
            ("body", client, .body), ("subject", client, .subject), ("thread", client, .thread), ("error", client, .error),
            ("show", client, .show), ("status", client, .status), ("priority", client, .priority),
            ("no-store", hints, .noStore), ("no-permanent-store", hints, .noPermanentStore), ("no-copy", hints, .noCopy),
            ("store", hints, .store),
            ("private", carbons, .private), ("sent", carbons, .carbon), ("received", carbons, .carbon),
            ("origin-id", sid, .originID), ("stanza-id", sid, .stanzaID),
            ("delay", "urn:xmpp:delay", .delay), ("x", "jabber:x:delay", .delay),
            ("request", receipts, .receiptRequest), ("received", receipts, .receipt),
            ("markable", markers, .markable), ("received", markers, .marker), ("displayed", markers, .marker),
            ("acknowledged", markers, .marker),
            ("active", states, .chatState), ("inactive", states, .chatState), ("composing", states, .chatState),
            ("paused", states, .chatState), ("gone", states, .chatState),
            ("encrypted", "eu.siacs.conversations.axolotl", .encrypted), ("encrypted", "urn:xmpp:omemo:2", .encrypted),
            ("encrypted", "urn:xmpp:omemo:1", .encrypted), ("openpgp", "urn:xmpp:openpgp:0", .encrypted),
            ("x", "jabber:x:encrypted", .encrypted), ("encryption", "urn:xmpp:eme:0", .encrypted),
            ("retract", "urn:xmpp:message-retract:0", .retraction), ("retract", "urn:xmpp:message-retract:1", .retraction),
            ("moderate", "urn:xmpp:message-moderate:0", .moderation), ("moderate", "urn:xmpp:message-moderate:1", .moderation),
            ("moderated", "urn:xmpp:message-moderate:0", .moderation), ("moderated", "urn:xmpp:message-moderate:1", .moderation),
            ("replace", "urn:xmpp:message-correct:0", .replacement), ("reactions", "urn:xmpp:reactions:0", .reactions),
            ("reply", "urn:xmpp:reply:0", .reply),
            ("x", "http://jabber.org/protocol/muc#user", .roomUser), ("x", "http://jabber.org/protocol/muc", .roomJoin),
            ("x", "jabber:x:conference", .directInvitation), ("event", "http://jabber.org/protocol/pubsub#event", .event),
            ("result", "urn:xmpp:mam:2", .archiveResult), ("fin", "urn:xmpp:mam:2", .archiveResult),
            ("propose", jingle, .jingleMessage), ("retract", jingle, .jingleMessage), ("accept", jingle, .jingleMessage),
            ("proceed", jingle, .jingleMessage), ("reject", jingle, .jingleMessage), ("ringing", jingle, .jingleMessage),
            ("finish", jingle, .jingleMessage),
            ("c", "http://jabber.org/protocol/caps", .capabilities), ("x", "vcard-temp:x:update", .photo),
            ("nick", "http://jabber.org/protocol/nick", .nick), ("x", "jabber:x:oob", .outOfBand),
            ("html", "http://jabber.org/protocol/xhtml-im", .html), ("attention", "urn:xmpp:attention:0", .attention),
            ("addresses", "http://jabber.org/protocol/address", .addresses), ("forwarded", "urn:xmpp:forward:0", .forwarded),
            ("idle", "urn:xmpp:idle:1", .idle),
        ]
        var kinds: [ChildKind] = []
        for (local, namespace, kind) in table {
            let index = Int(Name(local, namespace).index)
            while kinds.count <= index { kinds.append(.other) }
            kinds[index] = kind
        }
        return kinds
    }()

    /// Makes the names of the table; before an element's names are asked for, or the first element of all would have none.
    static func prepare() { _ = byName }
}
