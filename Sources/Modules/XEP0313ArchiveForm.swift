import ServerCore
import Stanzas
import XMLStream

/// The form by which an archive is asked (XEP-0313 §4.1): what it offers, and what a submission means.
enum ArchiveForm {
    private static let flipPage = Name("flip-page", NS.archive)
    /// Ids that may be asked for at once.
    static let idBound = 1_000

    /// Reads `<query/>` of type set.
    ///
    /// - Throws: What the asker hears: a field that nobody knows is `feature-not-implemented` (§4.1.5), a value that cannot be meant is
    ///   `bad-request`.
    static func query(_ element: Element) throws(StanzaError) -> ArchiveQuery {
        // §6.1.3: of pubsub, which is not asked here.
        guard element["node"] == nil else { throw StanzaError(.featureNotImplemented, text: "An account's archive has no nodes") }
        var query = ArchiveQuery()
        query.queryID = element["queryid"]
        query.isFlipped = element.first(flipPage) != nil
        if let page = try ResultSet.Request(in: element) { query.page = page }
        guard query.page.index == nil else {
            // XEP-0059 §2.6: a position would have to be counted.
            throw StanzaError(.featureNotImplemented, text: "Pages are asked for by id, not by index")
        }
        guard let x = element.first(DataForm.name) else { return query }
        guard let form = DataForm(x), form.kind == .submit, form.formType == NS.archive else {
            throw StanzaError(.badRequest, text: "The form must be a submission with the FORM_TYPE \(NS.archive)")
        }
        for field in form.fields { try read(field, into: &query) }
        return query
    }

    private static func read(_ field: DataForm.Field, into query: inout ArchiveQuery) throws(StanzaError) {
        guard let name = field.name else { return }
        if name == "ids" {
            let ids = field.values.filter { !$0.isEmpty }
            guard ids.count <= idBound else {
                throw StanzaError(.policyViolation, text: "At most \(idBound) messages may be asked for by their ids")
            }
            return query.ids = ids
        }
        guard field.values.count <= 1 else { throw StanzaError(.badRequest, text: "\(name) takes one value") }
        let value = field.value ?? ""
        guard !value.isEmpty || !["with", "start", "end", "before-id", "after-id", "include-groupchat"].contains(name) else { return }
        switch name {
        case "FORM_TYPE": break
        case "with":
            guard let jid = try? JID(value) else { throw StanzaError(.badRequest, text: "with must be an address") }
            query.with = jid
        case "start": query.start = try moment(value, name)
        case "end": query.end = try moment(value, name)
        case "before-id": query.beforeID = value
        case "after-id": query.afterID = value
        case "include-groupchat":
            // §4.1.4: understood. No message of a room is ever in a user's archive here, so it changes nothing.
            guard field.bool != nil else { throw StanzaError(.badRequest, text: "include-groupchat must be true or false") }
        default: throw StanzaError(.featureNotImplemented, text: "The field \(name) is not known")
        }
    }

    private static func moment(_ value: String, _ name: String) throws(StanzaError) -> Int64 {
        guard let moment = DateTime(value) else { throw StanzaError(.badRequest, text: "\(name) must be a time as 2010-08-07T00:00:00Z") }
        return moment.microseconds
    }

    /// The form of §4.1.5.
    static func write(into xml: inout XMLWriter) {
        xml.start("query", xmlns: NS.archive)
        xml.start("x", xmlns: NS.dataForm, ("type", "form"))
        xml.element("field", ("type", "hidden"), ("var", "FORM_TYPE")) { $0.element("value", text: NS.archive) }
        xml.empty("field", ("type", "jid-single"), ("var", "with"))
        for name in ["start", "end", "before-id", "after-id"] { xml.empty("field", ("type", "text-single"), ("var", name)) }
        xml.element("field", ("type", "list-multi"), ("var", "ids")) { xml in
            xml.element("validate", xmlns: NS.dataValidation, ("datatype", "xs:string")) { $0.empty("open") }
        }
        xml.empty("field", ("type", "boolean"), ("var", "include-groupchat"))
        xml.end("x")
        xml.end("query")
    }
}
