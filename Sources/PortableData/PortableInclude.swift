/// The `href` of an XInclude `<include/>` (§5): a relative URI that stays in its folder.
public enum PortableInclude {
    /// The paths that it may name, relative to the file that includes: with `%` escapes undone, and as it stands, since not every server
    /// escapes names. None when it is absolute, has a scheme, climbs up, or holds what no path holds.
    public static func names(of href: String) -> [String] {
        let plain = href.utf8.contains(UInt8(ascii: "%")) ? unescaped(href) : href
        var names: [String] = []
        for name in [plain, href] {
            if let name, isInside(name), !names.contains(name) { names.append(name) }
        }
        return names
    }

    private static func isInside(_ path: String) -> Bool {
        guard !path.isEmpty, path.utf8.first != UInt8(ascii: "/"), path.utf8.count <= 4_000,
            !path.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "\\") })
        else { return false }
        let steps = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { String(Substring($0)) }
        // A scheme, as in http: or file:.
        if steps.count > 1, steps[0].hasSuffix(":") { return false }
        return !steps.contains("..")
    }

    private static func unescaped(_ text: String) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(Substring(rest.prefix(2))), radix: 16) else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
