import AdminLanguage
import ServerCore
import Settings
import Stanzas
import Store
import XMLStream

/// `vcard …` and `private list`.
extension Commands {
    /// An account, or a host: both have a vCard.
    private func owner(_ invocation: Invocation, _ sink: ReplySink) -> JID? {
        guard let jid = jid(invocation.text("JID"), sink) else { return nil }
        guard core.hosts[jid.domain] != nil, jid.isBare else {
            sink.fail(
                .invalid,
                "\(jid) is neither an account nor a host of this server; the hosts are \(core.hosts.keys.sorted().joined(separator: ", "))")
            return nil
        }
        return jid
    }

    /// The card as it is kept; `then` gets nil when there is none, and nothing is called when there is no such account.
    private func card(of jid: JID, _ sink: ReplySink, then: @escaping @Sendable ([UInt8]?) -> Void) {
        let identity = core.identity
        core.readers.read { snapshot in
            do throws(StoreFailure) {
                guard let record = try AccountRecord.find(jid.description, in: snapshot, identity: identity) else {
                    // The account of a host is made with the first thing that it keeps.
                    return jid.local == nil ? then(nil) : sink.fail(.notFound, "there is no account \(jid)")
                }
                let rows = AccountRows(partition: identity.partition(of: record.jid), number: record.number, identity: identity)
                then(try rows.item(.vcard, "", in: snapshot))
            } catch {
                sink.fail(.unavailable, "the vCard of \(jid) cannot be read: \(error)")
            }
        }
    }

    func showVCard(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = owner(invocation, sink) else { return }
        let isWhole = invocation.flag("xml")
        card(of: jid, sink) { card in
            guard let card else { return sink.fail(.notFound, "\(jid) has no vCard") }
            sink.end { reply in
                guard !isWhole else {
                    for line in Self.lines(card) { reply.prose(line) }
                    return reply.ok()
                }
                reply.fact("jid", .text(jid.description))
                reply.fact("bytes", ReplyValue(card.count))
                guard let element = try? Element.parse(card) else { return reply.error(.failed, "the vCard of \(jid) is damaged") }
                Self.show(element, &reply)
                reply.ok()
            }
        }
    }

    /// What a card says, a fact each: `N/GIVEN`. Pictures and sounds are told by their size.
    private static func show(_ card: Element, _ reply: inout Reply) {
        var rest: [(path: String, element: Element)] = card.children.map { ($0.local, $0) }.reversed()
        while let (path, element) = rest.popLast() {
            let children = element.children.map { (path + "/" + $0.local, $0) }
            let text = element.text
            if children.isEmpty || element.hasText && !text.allSatisfy(\.isWhitespace) {
                let isBinary = element.local == "BINVAL"
                reply.fact(
                    path,
                    text.isEmpty ? .flag(true) : .text(isBinary ? "\(text.utf8.count) characters of base64" : String(text.prefix(4_000))))
            }
            rest += children.reversed()
        }
    }

    /// XML in lines that fit the reply, broken behind tags where that can be.
    private static func lines(_ xml: [UInt8]) -> [String] {
        var lines: [String] = []
        var rest = xml[...]
        while rest.count > 4_000 {
            let window = rest.prefix(4_000)
            var end = window.lastIndex(of: UInt8(ascii: ">")).map { $0 + 1 } ?? window.endIndex
            // Never inside a character.
            while end > window.startIndex + 1, end < rest.endIndex, rest[end] & 0xC0 == 0x80 { end -= 1 }
            lines.append(String(decoding: rest[..<end], as: UTF8.self))
            rest = rest[end...]
        }
        return lines + [String(decoding: rest, as: UTF8.self)]
    }

    func setVCard(_ invocation: Invocation, _ text: String, _ sink: ReplySink) {
        guard let jid = owner(invocation, sink) else { return }
        let bound = core.settings.profile.vCardBytes
        guard let card = Self.card(in: text) else {
            return sink.fail(.invalid, "standard input is not one vCard element in the namespace vcard-temp (XEP-0054)")
        }
        guard card.count <= bound else {
            return sink.fail(.invalid, "the vCard has \(card.count) bytes, and profile.vcard_bytes is \(bound)")
        }
        self.card(of: jid, sink) { _ in change(jid, card, sink) { "\(jid) has a new vCard" } }
    }

    /// The element as it is kept; nil when the text is something else. A declaration before it means nothing.
    private static func card(in text: String) -> [UInt8]? {
        var xml = Array(text.utf8)[...]
        xml = xml.drop { [0x20, 0x09, 0x0A, 0x0D].contains($0) }
        if xml.starts(with: "<?xml".utf8), let end = xml.firstIndex(of: UInt8(ascii: ">")) { xml = xml[(end + 1)...] }
        guard let payload = try? Payload(Array(xml)), payload.facts.children.count == 1, let fact = payload.facts.children.first,
            let element = payload.element(of: fact), element.local == "vCard", element.namespace == NS.vCard
        else { return nil }
        let card = payload.bytes(of: fact)
        // Nothing but spaces around it.
        let around = payload.bytes.count - card.count
        guard payload.bytes.filter({ [0x20, 0x09, 0x0A, 0x0D].contains($0) }).count >= around else { return nil }
        return Array(card)
    }

    func removeVCard(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = owner(invocation, sink) else { return }
        card(of: jid, sink) { card in
            guard card != nil else { return sink.fail(.notFound, "\(jid) has no vCard") }
            change(jid, [], sink) { "the vCard of \(jid) is gone" }
        }
    }

    private func change(_ jid: JID, _ card: [UInt8], _ sink: ReplySink, done: @escaping @Sendable () -> String) {
        send(.call(VCardCall.set, card), to: jid) { result in
            switch result {
            case .done: sink.end { $0.ok(done()) }
            case .notFound: sink.fail(.notFound, "there is no account \(jid)")
            case .failed(let why): sink.fail(.failed, why)
            case .exists, .value: sink.fail(.failed, "the answer cannot be read")
            }
        }
    }

    // MARK: Private storage

    func listPrivate(_ invocation: Invocation, _ sink: ReplySink) {
        guard let jid = account(invocation, sink) else { return }
        readSettled(jid, sink) { (snapshot, _, rows) throws(StoreFailure) in
            let items = try rows.items(.privateXML, in: snapshot).sorted { $0.name < $1.name }
            sink.end { reply in
                reply.table("private", ["name", "namespace", "bytes"])
                for item in items {
                    let words = item.name.split(separator: " ", maxSplits: 1)
                    reply.row(
                        .text(words.first.map(String.init) ?? ""), .text(words.dropFirst().first.map(String.init) ?? ""),
                        ReplyValue(item.value.count))
                }
                reply.ok("\(items.count) elements, \(items.reduce(0) { $0 + $1.value.count }) bytes")
            }
        }
    }
}
