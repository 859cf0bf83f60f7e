internal import PortableData
internal import Settings
internal import Stanzas
internal import XMLStream

extension FuzzTarget {
    /// A configuration file.
    static let settings = FuzzTarget(
        "settings", "A configuration is taken, and its values say it again, or everything wrong with it is named with its line",
        longest: 4_000,
        words: [
            "[", "]", "[[", "]]", "[[host]]", "domain = \"example.org\"", "[[component]]", "[limits]", "[listen]", "[node.a]", "=", "\"",
            "'", "\"\"\"",
            "'''", "\\u0000", "\\U00110000", "\\", "#", ",", "{", "}", ".", "true", "false", "1", "-1", "0x", "0o7", "0b1", "1_000", "1e5",
            "nan", "inf",
            "9223372036854775808", "1979-05-27T07:32:00Z", "07:32:00", "\r\n", "\n", "\u{FEFF}", "\u{0}", "ä", "\u{85}", "127.0.0.1:5222",
            "[::]:5222",
            "0.0.0.0:0", "65536", "daily", "03:30",
        ],
        seeds: {
            // The sample, table by table, with its settings in force.
            let text = Settings.sample()
            let tables = text.split(separator: "\n\n").map { table in
                table.split(separator: "\n").filter { !$0.hasPrefix("# ") && $0 != "#" }
                    .map { $0.hasPrefix("#") ? $0.dropFirst() : $0 }.joined(separator: "\n")
            }
            let host = "[[host]]\ndomain = \"example.org\"\n"
            return (tables + tables.map { host + $0 } + [host, host + "[[component]]\ndomain = \"irc.example.org\""]).map { Array($0.utf8) }
        }
    ) { (input) throws(Breach) in
        let text = String(decoding: input, as: UTF8.self)
        let first = parsed(text)
        for problem in first.problems { try told(problem, text) }
        guard let settings = first.settings else { return try hold(!first.problems.isEmpty, "it is refused without a reason") }
        try hold(settings.differences(to: settings).isEmpty, "it differs from itself")
        let again = written(settings)
        let second = parsed(again)
        guard let same = second.settings else {
            throw Breach("what is in force is refused when written:\n\(second.problems.map(\.description))\n\(again)")
        }
        let differences = same.differences(to: settings)
        try hold(differences.isEmpty, "written and read again it differs: \(differences.map { "\($0.key) \($0.old) \($0.new)" })")
    }

    /// The settings, and what is wrong with them or should be mended.
    private static func parsed(_ text: String) -> (settings: Settings?, problems: [SettingsProblem]) {
        do throws(SettingsError) {
            let (settings, warnings) = try Settings.parse(text, file: "f.toml", base: "/base")
            return (settings, warnings)
        } catch {
            return (nil, error.problems)
        }
    }

    private static func told(_ problem: SettingsProblem, _ text: String) throws(Breach) {
        try hold(!problem.sentence.isEmpty, "a problem has no sentence")
        let count = text.utf8.reduce(1) { $0 + ($1 == 0x0A ? 1 : 0) }
        if let line = problem.line { try hold((1...count).contains(line), "line \(line) of \(count) is named") }
        try hold(
            !problem.description.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F },
            "a problem cannot be shown: \(problem.description)")
    }

    /// The values in force as a file.
    private static func written(_ settings: Settings) -> String {
        var tables: [(name: String, lines: [String])] = []
        func add(_ table: String, _ line: String) {
            if tables.last?.name != table { tables.append((table, [])) }
            tables[tables.count - 1].lines.append(line)
        }
        for entry in settings.entries() {
            // By bytes: a mark that combines would be one character with the space before it.
            if let space = entry.key.utf8.lastIndex(of: UInt8(ascii: " ")) {
                // A host's or component's own: each begins with its domain.
                let kind = entry.key.utf8.starts(with: "host ".utf8) ? "[host]" : "[component]"
                let owner = kind + entry.key[..<space]
                add(owner, "\(entry.key[entry.key.index(after: space)...]) = \(entry.value)")
            } else if let dot = entry.key.utf8.lastIndex(of: UInt8(ascii: ".")) {
                add(String(entry.key[..<dot]), "\(entry.key[entry.key.index(after: dot)...]) = \(entry.value)")
            }
        }
        return tables.map { table in
            let name = table.name.hasPrefix("[") ? "[\(table.name.prefix { $0 != "]" })]]" : "[\(table.name)]"
            return name + "\n" + table.lines.joined(separator: "\n")
        }.joined(separator: "\n\n") + "\n"
    }

    /// `root u8 | a file of XEP-0227`.
    static let portable = FuzzTarget(
        "portable", "A file of accounts gives the same things however it comes, each readable on a line of its own", longest: 6_000,
        words: XMLInputs.words + [
            "<server-data xmlns='urn:xmpp:pie:0'>", "<host jid='capulet.lit'>", "<user name='juliet' password='x'>", "</user>", "</host>",
            "</server-data>", "<query xmlns='jabber:iq:roster'>", "<item jid='a@b' subscription='both' name='n'><group>g</group></item>",
            "<offline-messages>", "<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'>",
            "<iter-count>4096</iter-count>",
            "<salt>AAAA</salt>", "<server-key>", "<stored-key>", "<vCard xmlns='vcard-temp'/>", "<archive xmlns='urn:xmpp:pie:0#mam'>",
            "<result xmlns='urn:xmpp:mam:2' id='1'>", "<forwarded xmlns='urn:xmpp:forward:0'>",
            "<delay xmlns='urn:xmpp:delay' stamp='2026-11-21T00:00:00Z'/>",
            "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='a.xml'/>", "<presence from='a@b' type='subscribe'/>",
            "<query xmlns='jabber:iq:private'>", "<query xmlns='jabber:iq:privacy'>", "<block xmlns='urn:xmpp:blocking'/>",
            "scram:AAAA,AAAA,AAAA,4096",
        ],
        seeds: {
            let folder = String(Corpus.folder.dropLast("fuzz".count)) + "xep0227/"
            let files = ["prosody/u1@capulet.lit.xml", "ejabberd/20261121-182639_capulet_lit.xml"].compactMap {
                Corpus.bytes(of: folder + $0)
            }
            let small =
                "<server-data xmlns='urn:xmpp:pie:0'><host jid='capulet.lit'><user name='juliet' password='x'><query xmlns='jabber:iq:roster'><item jid='a@b' subscription='both' name='n'><group>g</group></item></query><vCard xmlns='vcard-temp'><FN>J</FN></vCard><offline-messages><message from='a@b' to='juliet@capulet.lit'><body>x</body><delay xmlns='urn:xmpp:delay' stamp='2026-11-21T00:00:00Z'/></message></offline-messages><query xmlns='jabber:iq:private'><a xmlns='urn:a'>b</a></query><presence from='a@b' type='subscribe'/></user></host></server-data>"
            return files.map { [0] + $0.prefix(5_999) } + [
                [0] + Array(small.utf8), [2] + Array("<user xmlns='urn:xmpp:pie:0' name='x'/>".utf8),
            ]
        }
    ) { (input) throws(Breach) in
        var choices = Choices(input)
        let root = PortableReader.Root(rawValue: choices.below(4)) ?? .serverData
        let bytes = choices.rest()
        let whole = read(bytes, root) { _ in bytes.count }
        // The first four bytes tell libxml2 the encoding: they come together.
        let split = read(bytes, root) { $0 == 0 ? 4 : $0 % 13 + 1 }
        let single = read(bytes, root) { $0 == 0 ? 4 : 1 }
        for other in [split, single] {
            // What stands before a fault may be told or not: the parser looks ahead.
            if whole.isWhole || other.isWhole {
                try hold(
                    whole.isWhole == other.isWhole && whole.events.map(flat) == other.events.map(flat),
                    "\(whole.events.count) events as a whole, \(other.events.count) in pieces")
            }
        }
        var user: JID?
        var host = "capulet.lit"
        for case .line(let line) in whole.events {
            try hold(PortableLine(line.text) != nil && !line.text.utf8.contains(0x0A), "a line does not come back: \(line.text)")
            switch line {
            case .host(_, let jid): host = jid
            case .user(_, let xml): user = (try? PortableUser(xml, host: host))?.jid
            case .part(_, let place, let xml):
                try hold(xml.utf8.count <= Portable.partBytes, "a part of \(xml.utf8.count) bytes")
                guard let owner = user ?? (try? JID("juliet@capulet.lit")) else { continue }
                _ = try? PortableItem(Array(xml.utf8), at: place, of: owner)
                if (try? Element.parse(Array(xml.utf8), limits: XMLLimits(stanzaBytes: .max))) == nil {
                    try hold((try? PortableItem(Array(xml.utf8), at: place, of: owner)) == nil, "what is no element is taken: \(xml)")
                }
            case .file, .passed, .end, .broken: break
            }
        }
    }

    private static func flat(_ event: PortableReader.Event) -> String {
        switch event {
        case .root(let root, _): "\(root)"
        case .include(let href, let root, _): "\(href) \(root)"
        case .line(.part(_, let place, let xml)): "\(place) \(xml)"
        case .line(.user(_, let xml)): xml
        case .line(.host(_, let jid)): jid
        case .line(.passed(_, let kind)): kind
        case .line(.broken(_, let reason)): reason
        case .line(let line): line.text
        }
    }

    private static func read(
        _ bytes: [UInt8], _ root: PortableReader.Root, piece: (Int) -> Int
    ) -> (events: [PortableReader.Event], isWhole: Bool) {
        let reader = PortableReader(expecting: root)
        var events: [PortableReader.Event] = []
        var offset = 0
        do throws(PortableFault) {
            while offset < bytes.count {
                let end = min(bytes.count, offset + max(1, piece(offset)))
                let part = Array(bytes[offset..<end])
                offset = end
                events += try part.withUnsafeBytes { raw in Result { () throws(PortableFault) in try reader.read(raw) } }.get()
            }
            events += try reader.finish()
        } catch {
            return (events, false)
        }
        return (events, reader.fault == nil)
    }
}
