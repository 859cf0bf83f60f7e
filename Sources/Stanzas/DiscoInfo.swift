public import XMLStream

/// What an entity says of itself: the answer to disco#info (XEP-0030 §3), and the string that stands for it in presence (XEP-0115 §5).
public struct DiscoInfo: Sendable, Equatable {
    public static let name = Name("query", NS.discoInfo)

    /// XEP-0030 §3.1.
    public struct Identity: Hashable, Sendable {
        public var category: String
        public var type: String
        /// The language of the name.
        public var lang: String?
        public var name: String?
        public init(category: String, type: String, lang: String? = nil, name: String? = nil) {
            self.category = category
            self.type = type
            self.lang = lang
            self.name = name
        }
    }

    public var identities: [Identity]
    public var features: [String]
    /// XEP-0128.
    public var forms: [DataForm]

    public init(identities: [Identity] = [], features: [String] = [], forms: [DataForm] = []) {
        self.identities = identities
        self.features = features
        self.forms = forms
    }

    /// Reads `<query/>`; nil when it is another element, or lacks what XEP-0030 requires of an identity or a feature.
    public init?(_ query: Element) {
        guard query.is(Self.name) else { return nil }
        self.init()
        for child in query.children {
            switch (child.local, child.namespace) {
            case ("identity", NS.discoInfo):
                guard let category = child["category"], let type = child["type"], !category.isEmpty, !type.isEmpty else { return nil }
                identities.append(Identity(category: category, type: type, lang: child.lang, name: child["name"]))
            case ("feature", NS.discoInfo):
                guard let feature = child["var"], !feature.isEmpty else { return nil }
                features.append(feature)
            case ("x", NS.dataForm): if let form = DataForm(child) { forms.append(form) }
            default: break
            }
        }
    }

    public func write(node: String? = nil, into writer: inout XMLWriter) {
        writer.element("query", xmlns: NS.discoInfo, ("node", node)) { writer in
            for identity in identities {
                writer.empty(
                    "identity", ("category", identity.category), ("type", identity.type), ("name", identity.name),
                    ("xml:lang", identity.lang))
            }
            for feature in features { writer.empty("feature", ("var", feature)) }
            for form in forms { form.write(into: &writer) }
        }
    }

    // MARK: The string in presence (XEP-0115)

    /// The verification string for SHA-1 (§5.1).
    public var verification: String { Base64.encode(SHA1.hash(verificationInput)) }

    /// What is hashed: identities, features and forms, sorted by their bytes. Forms that are not known by a hidden FORM_TYPE are no part
    /// of it (§5.3).
    var verificationInput: [UInt8] {
        var input: [UInt8] = []
        func append(_ text: String) {
            input.append(contentsOf: text.utf8)
            input.append(UInt8(ascii: "<"))
        }
        func sorted(_ texts: [String]) -> [String] { texts.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
        let ordered = identities.sorted { a, b in
            for (x, y) in [(a.category, b.category), (a.type, b.type), (a.lang ?? "", b.lang ?? ""), (a.name ?? "", b.name ?? "")]
            where x.utf8.elementsEqual(y.utf8) == false { return x.utf8.lexicographicallyPrecedes(y.utf8) }
            return false
        }
        for identity in ordered { append("\(identity.category)/\(identity.type)/\(identity.lang ?? "")/\(identity.name ?? "")") }
        for feature in sorted(features) { append(feature) }
        let typed = forms.compactMap { form in form.hiddenType.map { (type: $0, form: form) } }
        for (type, form) in typed.sorted(by: { $0.type.utf8.lexicographicallyPrecedes($1.type.utf8) }) {
            append(type)
            let fields = form.fields.filter { $0.name != nil && $0.name != "FORM_TYPE" }
            for field in fields.sorted(by: { ($0.name ?? "").utf8.lexicographicallyPrecedes(($1.name ?? "").utf8) }) {
                append(field.name ?? "")
                for value in sorted(field.values) { append(value) }
            }
        }
        return input
    }

    /// Bytes of what is hashed: a measure of how large it is.
    public var size: Int { verificationInput.count }

    /// Whether the string that is made of it stands for it alone, as far as that can be told: what §5.3 calls ill-formed is not, nor is
    /// what could be told apart from something else only by where a '<' or '/' came from (§5.3.2: the trivial preimages).
    public var isWellFormed: Bool {
        guard !identities.isEmpty, Set(identities).count == identities.count, Set(features).count == features.count else { return false }
        for identity in identities {
            // No feature that is a URL passes for an identity: its scheme is no category and between its slashes stands nothing.
            guard !identity.category.isEmpty, !identity.type.isEmpty,
                [identity.category, identity.type, identity.lang ?? ""].allSatisfy({
                    !$0.utf8.contains(UInt8(ascii: "/")) && !$0.hasDelimiter
                }),
                !identity.category.utf8.contains(UInt8(ascii: ":")), !(identity.name ?? "").hasDelimiter
            else { return false }
        }
        guard features.allSatisfy({ !$0.isEmpty && !$0.hasDelimiter }) else { return false }
        var types: Set<String> = []
        for form in forms {
            let typeFields = form.fields.filter { $0.name == "FORM_TYPE" }
            guard Set(typeFields.flatMap(\.values)).count <= 1, typeFields.count <= 1 else { return false }
            guard let type = form.hiddenType else { continue }
            guard types.insert(type).inserted, !type.hasDelimiter else { return false }
            let names = form.fields.compactMap(\.name)
            guard Set(names).count == names.count, !names.contains(where: { $0.isEmpty || $0.hasDelimiter }),
                form.fields.allSatisfy({ !$0.values.contains(where: \.hasDelimiter) })
            else { return false }
        }
        return true
    }

    /// Whether others may be believed to be the same for showing the same string: an answer whose last features were dressed up as a form
    /// has the string of the honest one, so only forms that are known to describe clients count as forms.
    public var isSafeToShare: Bool { forms.allSatisfy { $0.hiddenType == nil || $0.hiddenType == Self.softwareInfo } }

    /// XEP-0232.
    private static let softwareInfo = "urn:xmpp:dataforms:softwareinfo"
}

extension DataForm {
    /// The value of a FORM_TYPE that is hidden; nil for a form that has none.
    fileprivate var hiddenType: String? {
        guard let field = self["FORM_TYPE"], field.kind == .hidden, let value = field.value, !value.isEmpty else { return nil }
        return value
    }
}

extension String {
    /// What stands between the parts of the hashed string.
    fileprivate var hasDelimiter: Bool { utf8.contains(UInt8(ascii: "<")) }
}
