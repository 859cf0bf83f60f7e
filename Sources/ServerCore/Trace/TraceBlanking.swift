import Stanzas
import XMLStream

/// A stanza as XML for the eyes of an administrator, with everything private blanked.
///
/// Without `showsBodies` no text is shown at all, and of attributes only those that say how a stanza is handled. With it, texts are;
/// but never what stands in elements of registration, logins, private storage and vCards, nor what is called a password or a token.
enum TraceBlanking {
    /// Bytes of one stanza that are shown.
    private static let bound = 2_048
    private static let deepest = 16
    private static let blank = "…"

    /// Nothing in these is ever shown but the names of elements.
    private static let secretNamespaces: Set<String> = [
        NS.register, NS.privateStorage, NS.vCard, NS.vCard4, NS.sasl, NS.sasl2, NS.saslUpgrade, NS.preAuthentication,
        NS.inBandRegistrationToken, NS.invite, "jabber:iq:auth", "urn:xmpp:fast:0",
    ]
    /// Elements, attributes and fields of forms whose names have one of these in them.
    private static let secretWords = ["password", "passwd", "token", "secret", "digest", "authorization", "cookie", "credential"]
    /// Elements within which everything is text of people or keys of machines, whatever is asked for.
    private static let secretElements: Set<String> = ["header", "put"]
    /// Attributes that say how a stanza is handled.
    private static let plainAttributes: Set<String> = [
        "type", "id", "to", "from", "node", "var", "stamp", "by", "jid", "code", "status", "action", "queryid", "max", "ver", "hash",
        "seconds", "subscription", "ask", "affiliation", "role", "mechanism", "complete", "stable", "index", "count",
    ]

    /// Texts that say how a stanza is handled.
    private static let plainTexts: Set<String> = ["show", "priority"]

    static func text(of stanza: Stanza, showsBodies: Bool) -> String {
        var shown = "<\(stanza.kind.name)"
        for (name, value) in [
            ("from", stanza.from?.description), ("to", stanza.to?.description), ("id", stanza.id), ("type", stanza.type.attribute),
        ] {
            if let value { shown += " \(name)=\"\(escaped(value))\"" }
        }
        guard !stanza.payload.isEmpty else { return shown + "/>" }
        shown += ">"
        if let element = stanza.payload.element(wrappedIn: stanza.kind) {
            for child in element.children {
                write(child, in: NS.client, depth: 0, isSecret: false, showsBodies, into: &shown)
                guard shown.utf8.count <= bound else { break }
            }
        } else {
            shown += blank
        }
        if shown.utf8.count > bound {
            shown = String(decoding: shown.utf8.prefix(bound), as: UTF8.self) + blank
            return shown + " (\(stanza.payload.bytes.count) bytes inside)"
        }
        return shown + "</\(stanza.kind.name)>"
    }

    private static func write(
        _ element: Element, in surrounding: String, depth: Int, isSecret: Bool, _ showsBodies: Bool, into shown: inout String
    ) {
        guard shown.utf8.count <= bound else { return }
        let name = element.local
        let namespace = element.namespace
        let isSecret = isSecret || secretNamespaces.contains(namespace) || isSecretName(name) || isSecretField(element)
        let showsText = !isSecret && (showsBodies || namespace == NS.client && plainTexts.contains(name))
        shown += "<\(name)"
        if namespace != surrounding { shown += " xmlns=\"\(escaped(namespace))\"" }
        for attribute in element.attributes {
            let isShown = !isSecret && !isSecretName(attribute.local) && (showsBodies || plainAttributes.contains(attribute.local))
            shown += " \(attribute.local)=\"\(isShown ? escaped(attribute.value) : blank)\""
        }
        let text = element.text
        var children = element.children.makeIterator()
        guard var child = children.next() else {
            if !element.hasText {
                shown += "/>"
            } else {
                shown += ">\(visible(text, showsText))</\(name)>"
            }
            return
        }
        shown += ">"
        if element.hasText { shown += visible(text, showsText) }
        guard depth < deepest else {
            shown += "\(blank)</\(name)>"
            return
        }
        while true {
            write(child, in: namespace, depth: depth + 1, isSecret: isSecret, showsBodies, into: &shown)
            guard shown.utf8.count <= bound, let next = children.next() else { break }
            child = next
        }
        shown += "</\(name)>"
    }

    private static func isSecretName(_ name: String) -> Bool {
        let name = name.lowercased()
        return secretElements.contains(name) || secretWords.contains { name.contains($0) }
    }

    /// A field of a form (XEP-0004) that asks for a secret, or is named like one; or a command about such (XEP-0133, XEP-0401).
    private static func isSecretField(_ element: Element) -> Bool {
        switch element.local {
        case "field": element["type"] == "text-private" || element["var"].map(isSecretName) == true
        case "command": element["node"].map { isSecretName($0) || $0.contains("invite") } == true
        default: false
        }
    }

    /// A link with a token in it is one wherever it stands (XEP-0445).
    private static func visible(_ text: String, _ isShown: Bool) -> String {
        isShown && !text.contains("preauth") ? escaped(text) : blank
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(bound) {
            switch scalar {
            case "<": result += "&lt;"
            case "&": result += "&amp;"
            case "\"": result += "&quot;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
