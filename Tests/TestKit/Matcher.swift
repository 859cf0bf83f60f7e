import XMLStream

/// Compares what was received with what a script expects.
enum Matcher {
    /// Why the two differ; nil when they match.
    ///
    /// - Parameters:
    ///   - account: the bare JID of the receiver: the id that its archive gave a message may stand there without being expected.
    ///   - captured: values of the words `{:name}` that the expectation captures, by name; only true when the two match.
    static func difference(
        _ actual: Element, _ expected: Element, account: String, captured: inout [String: String], path: String = ""
    ) -> String? {
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
            if attribute.value != "{any}", !capture(value, attribute.value, &captured), value != attribute.value {
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
        if wantedText != "{any}", !isOpen, !capture(trim(actual.text), wantedText, &captured), trim(actual.text) != wantedText {
            return "\(here): text “\(actual.text)” instead of “\(wantedText)”"
        }
        var left = Array(actual.children)
        for child in expected.children where child.local == "any" {
            guard let unwanted = child["none"] else { continue }
            if actual.children.contains(where: { $0.local == unwanted || $0["var"] == unwanted }) {
                return "\(here): <\(unwanted)> was not expected"
            }
        }
        for child in expected.children where !(child.local == "any" && (child["more"] ?? child["none"]) != nil) {
            var near: String?
            var found: Int?
            for (index, candidate) in left.enumerated() {
                var caught = captured
                guard let why = difference(candidate, child, account: account, captured: &caught, path: here) else {
                    captured = caught
                    found = index
                    break
                }
                if near == nil, candidate.local == child.local { near = why }
            }
            guard let found else { return near ?? "\(here): <\(child.local)> is missing" }
            left.remove(at: found)
        }
        // At most one, and only the receiver's own.
        if let own = left.firstIndex(where: { $0.local == "stanza-id" && $0.namespace == "urn:xmpp:sid:0" && $0["by"] == account }) {
            left.remove(at: own)
        }
        if !isOpen, wantedText != "{any}", let extra = left.first {
            return "\(here): <\(extra.local) xmlns='\(extra.namespace)'> was not expected"
        }
        return nil
    }

    private static func capture(_ value: String, _ wanted: String, _ captured: inout [String: String]) -> Bool {
        guard let open = wanted.firstRange(of: "{:"), let close = wanted[open.upperBound...].firstIndex(of: "}") else { return false }
        // Text may stand before and behind it.
        let (before, behind) = (wanted[..<open.lowerBound], wanted[wanted.index(after: close)...])
        guard value.count >= before.count + behind.count, value.hasPrefix(before), value.hasSuffix(behind) else { return false }
        let caught = String(value.dropFirst(before.count).dropLast(behind.count))
        return (captured.updateValue(caught, forKey: String(wanted[open.upperBound..<close])) ?? caught) == caught
    }

    private static func trim(_ text: String) -> String {
        var slice = Substring(text)
        while slice.first?.isWhitespace == true { slice.removeFirst() }
        while slice.last?.isWhitespace == true { slice.removeLast() }
        return String(slice)
    }
}
