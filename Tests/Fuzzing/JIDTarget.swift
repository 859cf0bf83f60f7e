internal import Stanzas

extension FuzzTarget {
    /// A JID as text.
    static let jid = FuzzTarget(
        "jid", "A JID that is taken is taken again as it stands, within its limits, whichever way its parts came in", longest: 3_200,
        words: [
            "@", "/", "a@b", "@b", "/r", "juliet@example.com/balcony", "xn--", "xn--mnchen-3ya.de", "münchen.de", "[::1]", "[fe80::1%eth0]",
            "127.0.0.1", ".", "..", "\u{3002}", "\u{FF0E}", "A", "ſ", "ß", "ẞ", "Σ", "ς", "σ", "İ", "ı", "\u{212B}", "\u{FB01}", "\u{FF21}",
            "\u{3000}", "\u{A0}", "\u{200D}", "\u{200C}", "\u{301}", "e\u{301}", "\u{5D0}", "\u{627}", "\u{661}", "\u{6F1}", "\u{B7}",
            "\u{375}",
            "\u{30FB}", "\u{1F600}", "\u{E000}", "\u{FFFE}", "\u{378}", "\u{AD}", "\u{1E9E}", "\u{2126}", "\u{10FFFF}", " ", "\"", "&", "'",
            ":", "<", ">", "\\20", "\u{0}", "\u{7F}", String(repeating: "a", count: 63), String(repeating: "a", count: 1_023), "-", "--",
        ],
        seeds: {
            [
                "juliet@example.com", "juliet@example.com/balcony", "example.com", "münchen@münchen.de/ü", "a@xn--mnchen-3ya.de",
                "ſoſ@example.com", "\u{FF2A}uliet@example.com", "א@example.com", "a@[::1]/b", "192.0.2.1/x", "a@b.c./r", "Σ@example.com/ Σ",
                "\u{5D0}\u{661}@example.com", "a\u{200D}b@c", "\u{915}\u{94D}\u{200D}@c", "l\u{B7}l@c", "\u{30A2}\u{30FB}@c",
                String(repeating: "a", count: 1_023) + "@" + String(repeating: "b.", count: 120) + "c/"
                    + String(repeating: "d", count: 1_023),
            ].map { Array($0.utf8) }
        }
    ) { (input) throws(Breach) in
        let fromBytes = JID(utf8: input)
        guard let text = String(validating: input, as: UTF8.self) else {
            return try hold(fromBytes == nil, "bytes that are not UTF-8 are a JID")
        }
        guard let jid = try? JID(text) else { return try hold(fromBytes == nil, "it is a JID as bytes alone") }
        try hold(fromBytes == jid, "it is another JID as bytes: \(fromBytes?.description ?? "none")")
        try hold((try? JID(jid.description)) == jid, "\(jid) is not the same again")
        let (local, domain, resource) = (jid.local, jid.domain, jid.resource)
        for part in [local ?? "a", domain, resource ?? "a"] {
            try hold((1...JID.maximumPartLength).contains(part.utf8.count), "a part has \(part.utf8.count) bytes")
        }
        try hold((try? JID(local: local, domain: domain, resource: resource)) == jid, "\(jid) is not that of its parts")
        // Each part alone, prepared again, stays.
        if let local { try same(try? JID.prepareUsername(local), local) }
        try same(try? JID.prepareDomain(domain), domain)
        if let resource { try same(try? JID.prepareResource(resource), resource) }
        let whole = (local.map { $0 + "@" } ?? "") + domain + (resource.map { "/" + $0 } ?? "")
        try same(whole, jid.description)
        try hold(jid.bare.isBare && jid.bare.hasSameBare(as: jid) && jid.domainJID.isDomain, "\(jid) has another bare JID")
        if let resource { try hold((try? jid.bare.with(resource: resource)) == jid, "\(jid) is not its bare JID with its resource") }
        // As the DNS writes it, it is the same domain.
        if let ascii = try? JID.asciiDomain(domain) {
            try hold(ascii.utf8.allSatisfy { $0 < 0x80 }, "\(ascii) is not ASCII")
            try same(try? JID.prepareDomain(ascii), domain)
        }
        // The short way for ASCII comes to what the long way comes to: capitals and wide letters must take that one.
        if let local, local.utf8.allSatisfy({ $0 < 0x80 }) {
            try same(try? JID.prepareUsername(local.uppercased()), local)
            let wide = String(String.UnicodeScalarView(local.unicodeScalars.map { Unicode.Scalar($0.value + 0xFEE0) ?? $0 }))
            try same(try? JID.prepareUsername(wide), local)
        }
        if domain.utf8.allSatisfy({ $0 < 0x80 }) { try same(try? JID.prepareDomain(domain.uppercased()), domain) }
        if let secret = try? JID.preparePassword(text) { try same(try? JID.preparePassword(secret), secret) }
    }

    private static func same(_ one: String?, _ other: String) throws(Breach) {
        try hold(one.map { $0.utf8.elementsEqual(other.utf8) } ?? false, "\(one ?? "nothing") is not \(other)")
    }
}
