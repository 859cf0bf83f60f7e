public import ServerCore
import Settings
import Stanzas
import Store
import XMLStream

/// XEP-0055: Jabber Search: the directory of a host's users. In it stands who asked for it, with what the vCard says; users of the same
/// host search it.
///
/// Whether one is listed is asked and said by the same protocol at one's own account, in the field `x-listed`: nobody is listed who did not
/// say so.
public final class DirectorySearch: Module {
    public static let name = "search"
    public static let implements = [XEP(55, "1.3", "Jabber Search")]
    private static let query = Name("query", NS.search)
    private static let listed = "x-listed"
    /// Entries that are read at once: other reads come in between.
    private static let page = 1_000
    /// Searches under way on one loop.
    private static let searches = 4
    private let settings: Settings.Search
    private var running: Set<JID> = []

    public init(_ context: ModuleContext) { settings = context.settings.search }

    public func register(in registration: inout Registration) {
        guard settings.enabled else { return }
        registration.feature(NS.search, of: .server, .ownAccount)
        registration.identity(Identity(category: "directory", type: "user"), of: .server)
        registration.iq(.get, Self.query, to: .server) { _, _ in Self.fields() }
        registration.iq(.set, Self.query, to: .server) { [self] request, turn in search(request, turn) }
        registration.iq(.get, Self.query, to: .ownAccount) { _, turn in
            .result { xml in
                xml.element("query", xmlns: NS.search) { Self.wish(DirectoryEntry.isListed(turn.account)).write(into: &$0) }
            }
        }
        registration.iq(.set, Self.query, to: .ownAccount) { request, turn in Self.hear(request, turn) }
        registration.call(DirectoryEntry.list) { argument, turn, result in
            var reader = ByteReader(argument)
            guard let name = try? reader.string(), let entry = try? reader.bytes() else { return result.reply(.failed("no entry")) }
            turn.account.keep(.directory, name, entry)
            result.reply(.done(1))
        }
        registration.call(DirectoryEntry.unlist) { name, turn, result in
            turn.account.forget(.directory, String(decoding: name, as: UTF8.self))
            result.reply(.done(1))
        }
        registration.removal { turn in
            if DirectoryEntry.isListed(turn.account) { DirectoryEntry.unlist(turn) { _ in } }
        }
    }

    // MARK: Being listed

    private static func wish(_ isListed: Bool) -> DataForm {
        DataForm(
            .form, formType: NS.search, title: "Directory",
            fields: [
                DataForm.Field(
                    listed, .boolean, label: "Others of this server find me by what my vCard says", values: [isListed ? "1" : "0"])
            ])
    }

    private static func hear(_ request: Request, _ turn: Turn) -> IQReply {
        guard let form = DataForm(in: request.payload), form.kind == .submit, form.formType == NS.search, let wanted = form[listed]?.bool
        else {
            return .error(StanzaError(.badRequest, text: "Send the form with \(listed)"))
        }
        let answer = turn.later(request)
        guard wanted else {
            turn.account.forget(.listed, "")
            DirectoryEntry.unlist(turn) { answer.reply($0) }
            return .later
        }
        turn.account.keep(.listed, "", [1])
        turn.account.read(
            { (snapshot, rows) throws(StoreFailure) in try rows.item(.vcard, "", in: snapshot) },
            then: { read in
                switch read {
                case .success(let card): DirectoryEntry(card, of: turn.account).list(turn) { answer.reply($0) }
                case .failure: answer.reply(.error(StanzaError(.internalServerError, type: .wait, text: "The vCard cannot be read")))
                }
            })
        return .later
    }

    // MARK: Searching

    /// §2.1, and §3 for clients that know forms.
    private static func fields() -> IQReply {
        .result { xml in
            xml.element("query", xmlns: NS.search) { xml in
                xml.element("instructions", text: "Fill in one or more fields to search for users of this server.")
                for (name, _) in DirectoryEntry.fields { xml.empty(name) }
                DataForm(
                    .form, formType: NS.search, title: "User Directory Search",
                    fields: DirectoryEntry.fields.map { DataForm.Field($0.0, .textSingle, label: $0.1) }
                ).write(into: &xml)
            }
        }
    }

    /// What is searched for: each field that is given must have the text somewhere in it, whatever the case.
    private struct Wanted: Sendable {
        var texts: [String]
        var isForm: Bool

        init(_ query: Element) throws(StanzaError) {
            let form = DataForm(in: query)
            isForm = form != nil
            if let form, form.kind != .submit || form.formType != NS.search { throw StanzaError(.badRequest, text: "This is not the form") }
            texts = DirectoryEntry.fields.map { name, _ in
                (form.map { $0[name]?.value } ?? query.first(local: name, namespace: NS.search)?.text ?? "").map(Self.folded) ?? ""
            }
            guard texts.contains(where: { !$0.isEmpty }) else { throw StanzaError(.badRequest, text: "Fill in one field at least") }
        }

        private static func folded(_ text: String) -> String { text.lowercased() }

        func matches(_ entry: DirectoryEntry) -> Bool {
            zip(texts, entry.values).allSatisfy { text, value in text.isEmpty || Self.folded(value).contains(text) }
        }
    }

    private typealias Found = (jid: String, entry: DirectoryEntry)

    /// A search that is under way; it is over when nobody goes on with it, for whatever reason.
    private final class Search {
        let module: DirectorySearch
        let turn: Turn
        let wanted: Wanted
        let answer: LaterAnswer
        var found: [Found] = []

        init(_ module: DirectorySearch, _ turn: Turn, _ wanted: Wanted, _ answer: LaterAnswer) {
            self.module = module
            self.turn = turn
            self.wanted = wanted
            self.answer = answer
            module.running.insert(turn.account.jid)
        }

        deinit { module.running.remove(turn.account.jid) }
    }

    private func search(_ request: Request, _ turn: Turn) -> IQReply {
        guard let host = request.stanza.to?.domain, host == turn.account.jid.domain else {
            return .error(StanzaError(.forbidden, text: "The directory is for users of the host"))
        }
        let wanted: Wanted
        do throws(StanzaError) { wanted = try Wanted(request.payload) } catch { return .error(error) }
        guard running.count < Self.searches, !running.contains(turn.account.jid) else {
            return .error(StanzaError(.resourceConstraint, type: .wait, text: "Another search is under way"))
        }
        read(Search(self, turn, wanted, turn.later(request)), after: nil)
        return .later
    }

    /// Reads a page of the directory on a reader thread, each on a snapshot of its own.
    private func read(_ search: Search, after key: Key?) {
        let (wanted, host, left) = (search.wanted, search.turn.account.jid.domain, settings.results - search.found.count)
        search.turn.account.read(
            { (snapshot, rows) throws(StoreFailure) in try Self.page(wanted, of: host, after: key, limit: left, rows.identity, snapshot) },
            then: { [self] result in
                guard case .success(let page) = result else {
                    return search.answer.reply(.error(StanzaError(.internalServerError, type: .wait, text: "The directory cannot be read")))
                }
                search.found += page.found
                for name in page.gone {
                    search.turn.command(.call(DirectoryEntry.unlist, Array(name.utf8)), for: search.turn.account.jid.domainJID) { _ in }
                }
                if let next = page.next, search.found.count < settings.results { return read(search, after: next) }
                search.answer.reply(Self.answer(search.found, isForm: search.wanted.isForm))
            })
    }

    private struct Page: Sendable {
        var found: [(jid: String, entry: DirectoryEntry)] = []
        /// Entries of accounts that are no more.
        var gone: [String] = []
        var next: Key?
    }

    private static func page(
        _ wanted: Wanted, of host: String, after key: Key?, limit: Int, _ identity: VolumeIdentity, _ snapshot: any Snapshot
    ) throws(StoreFailure) -> Page {
        var page = Page()
        guard let record = try AccountRecord.find(host, in: snapshot, identity: identity) else { return page }
        let rows = AccountRows(partition: identity.partition(of: host), number: record.number, identity: identity)
        let (items, next) = try rows.page(.directory, after: key, limit: Self.page, in: snapshot)
        page.next = next
        for item in items {
            guard let entry = DirectoryEntry(item.value), wanted.matches(entry) else { continue }
            guard page.found.count < limit else { break }
            guard let account = try AccountRecord.find(item.name, in: snapshot, identity: identity), account.number == entry.number else {
                page.gone.append(item.name)
                continue
            }
            if account.isEnabled { page.found.append((item.name, entry)) }
        }
        return page
    }

    private static func answer(_ found: [Found], isForm: Bool) -> IQReply {
        let found = found.sorted { $0.jid < $1.jid }
        return .result { xml in
            // §2.1: nobody: an empty query.
            guard !found.isEmpty else { return xml.empty("query", xmlns: NS.search) }
            xml.element("query", xmlns: NS.search) { xml in
                isForm ? write(form: found, into: &xml) : write(found, into: &xml)
            }
        }
    }

    private static func write(_ found: [Found], into xml: inout XMLWriter) {
        for (jid, entry) in found {
            xml.element("item", ("jid", jid)) { xml in
                for (field, value) in zip(DirectoryEntry.fields, entry.values) { xml.element(field.0, text: value.isEmpty ? nil : value) }
            }
        }
    }

    private static func write(form found: [Found], into xml: inout XMLWriter) {
        var form = DataForm(.result, formType: NS.search, fields: [])
        form.reported =
            [DataForm.Field("jid", .jidSingle, label: "Jabber ID")]
            + DirectoryEntry.fields.map { DataForm.Field($0.0, .textSingle, label: $0.1) }
        form.items = found.map { jid, entry in
            [DataForm.Field("jid", values: [jid])]
                + zip(DirectoryEntry.fields, entry.values).map { DataForm.Field($0.0, values: [$1]) }
        }
        form.write(into: &xml)
    }
}
