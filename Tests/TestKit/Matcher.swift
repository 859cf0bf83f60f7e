import XMLStream

/// Compares what was received with what a script expects.
enum Matcher {
    /// What a script keeps of what was received, by its own name for it.
    final class Kept {
        var values: [String: String] = [:]
    }

    /// Whether a text is the expected one, in which one `{keep:name}` stands for any text that is kept.
    private static func fits(_ text: String, _ wanted: String, _ kept: Kept?) -> Bool {
        guard let open = wanted.firstRange(of: "{keep:"), let close = wanted[open.upperBound...].firstIndex(of: "}") else {
            return text == wanted
        }
        let (before, behind) = (wanted[..<open.lowerBound], wanted[wanted.index(after: close)...])
        guard text.utf8.count > before.utf8.count + behind.utf8.count, text.hasPrefix(before), text.hasSuffix(behind) else { return false }
        kept?.values[String(wanted[open.upperBound..<close])] = String(text.dropFirst(before.count).dropLast(behind.count))
        return true
    }

    /// Why the two differ; nil when they match.
    static func difference(_ actual: Element, _ expected: Element, path: String = "", kept: Kept? = nil) -> String? {
        let here = path + "/" + expected.local
        if expected.local == "any", expected.attributes.isEmpty { return nil }
        guard actual.local == expected.local else { return "\(path): <\(actual.local)> instead of <\(expected.local)>" }
        guard actual.namespace == expected.namespace else {
            return "\(here): namespace \(actual.namespace) instead of \(expected.namespace)"
        }
        for attribute in expected.attributes {
            let value =
                attribute.namespace.isEmpty ? actual[attribute.local] : actual.attribute(attribute.local, namespace: attribute.namespace)
            guard let value else { return "\(here): attribute \(attribute.local) is missing" }
            if attribute.value != "{any}", !fits(value, attribute.value, kept) {
                return "\(here): \(attribute.local)='\(value)' instead of '\(attribute.value)'"
            }
        }
        // Addresses, ids and languages may be left unsaid; anything else must be expected.
        for attribute in actual.attributes where !["id", "to", "from", "lang"].contains(attribute.local) {
            let said = expected.attributes.contains { $0.local == attribute.local && $0.namespace == attribute.namespace }
            if !said { return "\(here): attribute \(attribute.local)='\(attribute.value)' was not expected" }
        }
        let wantedText = trim(expected.text)
        let isOpen = expected.children.contains { $0.local == "any" && $0["more"] != nil }
        if wantedText != "{any}", !isOpen, !fits(trim(actual.text), wantedText, kept) {
            return "\(here): text “\(actual.text)” instead of “\(wantedText)”"
        }
        var left = Array(actual.children)
        for child in expected.children where !(child.local == "any" && child["more"] != nil) {
            guard let index = left.firstIndex(where: { difference($0, child, path: here, kept: kept) == nil }) else {
                let near = left.first { $0.local == child.local }.flatMap { difference($0, child, path: here) }
                return near ?? "\(here): <\(child.local)> is missing"
            }
            left.remove(at: index)
        }
        if !isOpen, wantedText != "{any}", let extra = left.first {
            return "\(here): <\(extra.local) xmlns='\(extra.namespace)'> was not expected"
        }
        return nil
    }

    private static func trim(_ text: String) -> String {
        var slice = Substring(text)
        while slice.first?.isWhitespace == true { slice.removeFirst() }
        while slice.last?.isWhitespace == true { slice.removeLast() }
        return String(slice)
    }
}
