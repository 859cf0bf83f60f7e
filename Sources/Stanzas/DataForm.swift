public import XMLStream

/// A data form (XEP-0004).
public struct DataForm: Hashable, Sendable {
    public static let name = Name("x", NS.dataForm)

    /// XEP-0004 §3.1.
    public enum Kind: String, Hashable, Sendable {
        case form, submit, cancel, result
    }

    /// XEP-0004 §3.3.
    public enum FieldKind: String, Hashable, Sendable {
        case boolean, fixed, hidden
        case jidMulti = "jid-multi"
        case jidSingle = "jid-single"
        case listMulti = "list-multi"
        case listSingle = "list-single"
        case textMulti = "text-multi"
        case textPrivate = "text-private"
        case textSingle = "text-single"
    }

    /// One choice of a list field.
    public struct Option: Hashable, Sendable {
        public var label: String?
        public var value: String
        public init(_ value: String, label: String? = nil) {
            self.value = value
            self.label = label
        }
    }

    /// XEP-0004 §3.2.
    public struct Field: Hashable, Sendable {
        /// What the field is known by; may be nil for `fixed` only.
        public var name: String?
        /// nil when it was not said: `text-single` in a form, known from context in a submission.
        public var kind: FieldKind?
        public var label: String?
        /// Explains the field to people.
        public var explanation: String?
        public var isRequired: Bool
        public var values: [String]
        public var options: [Option]

        public init(
            _ name: String?, _ kind: FieldKind? = nil, label: String? = nil, explanation: String? = nil, isRequired: Bool = false,
            values: [String] = [], options: [Option] = []
        ) {
            self.name = name
            self.kind = kind
            self.label = label
            self.explanation = explanation
            self.isRequired = isRequired
            self.values = values
            self.options = options
        }

        /// The first value; nil when the field has none.
        public var value: String? { values.first }

        /// The value of a boolean: `1` or `true`, `0` or `false` (§3.3). nil when it is neither.
        public var bool: Bool? {
            switch value {
            case "1", "true": true
            case "0", "false": false
            default: nil
            }
        }

        /// The values as one text, a line a value (§3.3, text-multi).
        public var lines: String { values.joined(separator: "\n") }
    }

    public var kind: Kind
    public var title: String?
    public var instructions: [String]
    public var fields: [Field]
    /// The columns of a table of items (§3.4); nil when the form is no table.
    public var reported: [Field]?
    /// The rows of a table of items.
    public var items: [[Field]]

    public init(
        _ kind: Kind, title: String? = nil, instructions: [String] = [], fields: [Field] = [], reported: [Field]? = nil,
        items: [[Field]] = []
    ) {
        self.kind = kind
        self.title = title
        self.instructions = instructions
        self.fields = fields
        self.reported = reported
        self.items = items
    }

    /// A form with a FORM_TYPE (XEP-0068): the hidden first field says in which scope the names of the others are meant.
    public init(_ kind: Kind, formType: String, title: String? = nil, instructions: [String] = [], fields: [Field]) {
        self.init(
            kind, title: title, instructions: instructions, fields: [Field("FORM_TYPE", .hidden, values: [formType])] + fields)
    }

    /// Reads `<x/>`; nil when it is another element or of a type that does not exist. A field type nobody knows is `text-single`
    /// (§3.3); a field without a name that is not `fixed` is left out; options without a value as well.
    public init?(_ element: Element) {
        guard element.is(Self.name), let kind = element["type"].flatMap({ Kind(rawValue: $0) }) else { return nil }
        self.init(kind)
        for child in element.children where child.namespace == NS.dataForm {
            switch child.local {
            case "title": title = child.text
            case "instructions": instructions.append(child.text)
            case "field": if let field = Field(child) { fields.append(field) }
            case "reported": reported = Self.fields(of: child)
            case "item": items.append(Self.fields(of: child))
            default: break
            }
        }
    }

    /// The first form among an element's children.
    public init?(in parent: Element) {
        guard let form = parent.first(Self.name) else { return nil }
        self.init(form)
    }

    fileprivate static func fields(of element: Element) -> [Field] {
        element.children.filter { $0.local == "field" && $0.namespace == NS.dataForm }.compactMap { Field($0) }
    }

    /// The first field of this name.
    public subscript(_ name: String) -> Field? { fields.first { $0.name == name } }

    /// The scope of the names (XEP-0068 §3.1): the value of FORM_TYPE, which outside of submissions counts only when it is hidden.
    public var formType: String? {
        guard let field = self["FORM_TYPE"], kind == .submit || field.kind == .hidden else { return nil }
        return field.value
    }

    /// Why a submission is refused (§3.2, §3.3, §5.1): nil when it fits. Fields the form does not have are ignored (§3.1), those
    /// that are left out keep their value (§3.5).
    public func fault(in submission: DataForm) -> String? {
        for field in fields {
            guard let name = field.name else { continue }
            guard let given = submission[name] else {
                if field.isRequired { return "\(name) is required" }
                continue
            }
            if field.isRequired, given.values.allSatisfy(\.isEmpty) { return "\(name) is required" }
            if let fault = field.fault(in: given.values) { return "\(name) \(fault)" }
        }
        return nil
    }

    public func write(into writer: inout XMLWriter) {
        writer.element("x", xmlns: NS.dataForm, ("type", kind.rawValue)) { writer in
            if let title { writer.element("title", text: title) }
            for text in instructions { writer.element("instructions", text: text) }
            for field in fields { field.write(into: &writer) }
            if let reported {
                writer.element("reported") { writer in
                    for field in reported { field.write(into: &writer) }
                }
            }
            for item in items {
                writer.element("item") { writer in
                    for field in item { field.write(into: &writer) }
                }
            }
        }
    }
}

extension DataForm.Field {
    init?(_ element: Element) {
        let kind = element["type"].map { DataForm.FieldKind(rawValue: $0) ?? .textSingle }
        let name = element["var"]
        guard name != nil || kind == .fixed else { return nil }
        self.init(name, kind, label: element["label"])
        for child in element.children where child.namespace == NS.dataForm {
            switch child.local {
            case "desc": explanation = child.text
            case "required": isRequired = true
            case "value": values.append(child.text)
            case "option":
                guard let value = child.first(local: "value", namespace: NS.dataForm)?.text else { continue }
                options.append(DataForm.Option(value, label: child["label"]))
            default: break
            }
        }
    }

    /// What is wrong with values submitted for this field.
    fileprivate func fault(in values: [String]) -> String? {
        switch kind {
        case .jidMulti, .listMulti, .textMulti, .hidden: break
        default: if values.count > 1 { return "takes one value" }
        }
        switch kind {
        case .boolean:
            return values.allSatisfy { ["0", "1", "true", "false", ""].contains($0) } ? nil : "must be true or false"
        case .jidMulti, .jidSingle:
            return values.allSatisfy { $0.isEmpty || (try? JID($0)) != nil } ? nil : "must be an address"
        case .listMulti, .listSingle:
            // A list without options is open (XEP-0122 §3.2).
            let known = Set(options.map(\.value))
            return options.isEmpty || values.allSatisfy { $0.isEmpty || known.contains($0) } ? nil : "must be one of the options"
        case .fixed, .hidden, .textMulti, .textPrivate, .textSingle, nil:
            return nil
        }
    }

    func write(into writer: inout XMLWriter) {
        writer.element("field", ("var", name), ("type", kind?.rawValue), ("label", label)) { writer in
            if let explanation { writer.element("desc", text: explanation) }
            if isRequired { writer.empty("required") }
            for value in values { writer.element("value", text: value) }
            for option in options {
                writer.element("option", ("label", option.label)) { $0.element("value", text: option.value) }
            }
        }
    }
}
