import Glibc
import Testing

@testable import Settings

@Suite struct SettingsTests {
    private let host = "\n[[host]]\ndomain = \"example.org\"\nrequire_tls = false\n"

    /// What is wrong with a file that has these lines before a good host, without the name of the file.
    private func problems(_ text: String, host: String? = nil) -> [String] {
        do {
            _ = try Settings.parse(text + (host ?? self.host), file: "f")
            return []
        } catch {
            return error.problems.map { String($0.description.dropFirst(2)) }
        }
    }

    @Test func theSampleParsesToTheDefaults() throws {
        var expected = Settings()
        expected.hosts = [Settings.Host(domain: "example.org")]
        let sample = Settings.sample()
        #expect(try Settings.parse(sample, file: "f").settings == expected)
        // The same with every setting uncommented: each default is written as the table reads it.
        let uncommented = sample.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("#") && (line.dropFirst().first?.isLowercase == true || line.hasPrefix("#[[")) ? line.dropFirst() : line
        }
        let count = uncommented.count { $0.contains(" = ") && !$0.hasPrefix("#") }
        #expect(count == SettingsTable.all.count + SettingsTable.host.count + SettingsTable.component.count)
        expected.components = [Settings.Component(domain: "gateway.example.org")]
        #expect(try Settings.parse(uncommented.joined(separator: "\n"), file: "f").settings == expected)
    }

    @Test func theSampleInOpsIsTheOneOfTheTable() throws {
        let ops = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/") + "/ops/sample.toml"
        #expect(try SettingsFile.text(of: ops) == Settings.sample())
    }

    @Test func everySettingReadsWhatItWrites() throws {
        // Every key at another value than its default, so that a key that sets nothing, or another's value, is seen.
        var written = Settings()
        for (index, setting) in SettingsTable.all.enumerated() {
            let other: SettingValue
            switch (setting.kind, setting.get(written)) {
            case (.flag, .flag(let flag)): other = .flag(!flag)
            case (.integer(let range, _), let value):
                let wanted = min(range.upperBound, range.lowerBound + 1 + index)
                // By chance it may be the default.
                other = .integer(.integer(wanted) == value ? min(range.upperBound, wanted + 500) : wanted)
            case (.choice(let texts), .text(let text)): other = .text(try #require(texts.first { $0 != text }))
            case (.choices(let texts), _): other = .texts([texts[1]])
            case (.text(.line), _), (.text(.path), _), (.text(.nodeName), _), (.text(.location), _): other = .text("x\(index)")
            case (.text(.link), _): other = .text("https://x\(index)")
            case (.text(.timeOfDay), _): other = .text("01:\(10 + index % 50)")
            case (.texts(.line), _): other = .texts(["x\(index)"])
            case (.table(let keys, let values), _): other = .table([keys[1]: values[0]])
            case (.texts(.endpoint), _): other = .texts(["unix:/run/x\(index)"])
            case (.texts(.address), _): other = .texts(["127.0.0.1:\(1000 + index)"])
            default:
                Issue.record("\(setting.key) has a kind this test does not know")
                continue
            }
            #expect(setting.get(written) != other)
            setting.set(&written, other)
            #expect(setting.get(written) == other)
        }
        #expect(Set(SettingsTable.all.map(\.key)).count == SettingsTable.all.count)
        #expect(Settings().differences(to: written).map(\.key) == SettingsTable.all.map(\.key))
    }

    @Test func everyDefaultIsInItsRange() {
        for setting in SettingsTable.all {
            if case .integer(let range, _) = setting.kind, case .integer(let value) = setting.get(Settings()) {
                #expect(range.contains(value), "\(setting.key)")
            }
            #expect(SettingsTable.tables.contains { $0.name == setting.table })
            #expect(setting.doc.hasSuffix("."))
        }
    }

    @Test func aWholeFile() throws {
        let text = """
            node.directory = "var"
            [listen]
            c2s = ["127.0.0.1:5222", "[::1]:5222"]
            http = ["127.0.0.1:9280"]
            [node.b]
            http = ["unix:run/b.http", "[::1]:9281"]
            c2s = ["127.0.0.1:5322"]
            location = "xmpp2.example.org:5222"
            [authentication]
            mechanisms = ["SCRAM-SHA-256"]
            [log]
            level = "notice"
            levels = { bus = "debug" }
            [sessions]
            conflict = "rename"
            location = "[2001:db8::1]"
            [[host]]
            domain = "Example.ORG"
            certificate = "tls/cert.pem"
            key = "/etc/key.pem"
            admins = ["admin@example.org"]
            durability = "relay"
            [[host]]
            domain = "exämple.net"
            require_tls = false
            """
        let (settings, warnings) = try Settings.parse(
            text.replacing("node.directory", with: "[node]\ndirectory"), file: "f", base: "/srv/m")
        #expect(settings.node.directory == "/srv/m/var")
        #expect(settings.listen.c2s == ["127.0.0.1:5222", "[::1]:5222"])
        #expect(settings.listen.c2sOfNode == ["b": ["127.0.0.1:5322"]])
        #expect(settings.listen.http(ofNode: "a").map(\.description) == ["127.0.0.1:9280"])
        #expect(settings.listen.http(ofNode: "b").map(\.description) == ["unix:/srv/m/run/b.http", "[::1]:9281"])
        #expect(settings.authentication.mechanisms == ["SCRAM-SHA-256"])
        #expect(settings.sessions.conflict == .rename)
        #expect(settings.log.level(of: .bus) == "debug")
        #expect(settings.log.level(of: .c2s) == "notice")
        #expect(settings.sessions.location(ofNode: "a") == "[2001:db8::1]")
        #expect(settings.sessions.location(ofNode: "b") == "xmpp2.example.org:5222")
        #expect(settings.hosts.map(\.domain) == ["example.org", "exämple.net"])
        #expect(settings.hosts[0].certificate == "/srv/m/tls/cert.pem")
        #expect(settings.hosts[0].key == "/etc/key.pem")
        #expect(settings.hosts[0].durability == .relay)
        #expect(warnings.isEmpty)
        #expect(try Settings.parse(host, file: "f", base: "/srv/m").settings.node.directory == "/srv/m/data")
    }

    @Test(arguments: [
        ("[limits]\ndpth = 3", ["2: limits.dpth: is not known: did you mean \"depth\"?"]),
        ("[offline]\nfrobnicate = 3", ["2: offline.frobnicate: is not known: known are messages, bytes, answers_strangers"]),
        ("[limts]", ["1: limts: is not known: did you mean \"limits\"?"]),
        ("depth = 3", ["1: depth: is not known here: it belongs below [limits]"]),
        ("limits = 3", ["1: limits: is an integer: write [limits] and its keys below"]),
        ("[limits]\ndepth = \"64\"", ["2: limits.depth: is a string: write a number from 8 to 1024 (elements)"]),
        ("[limits]\ndepth = 64.0", ["2: limits.depth: is a float: write a number from 8 to 1024 (elements)"]),
        ("[limits]\ndepth = 7", ["2: limits.depth: 7 is out of range: write a number from 8 to 1024 (elements)"]),
        (
            "[limits]\ndepth = -9223372036854775808",
            ["2: limits.depth: -9223372036854775808 is out of range: write a number from 8 to 1024 (elements)"]
        ),
        ("[debug]\nmanual_clock = 1", ["2: debug.manual_clock: is an integer: write true or false"]),
        ("[tls]\nminimum = \"1.1\"", ["2: tls.minimum: \"1.1\" is not known: write one of \"1.2\", \"1.3\""]),
        ("[tls]\nciphers = \"\"", ["2: tls.ciphers: \"\" is not a text on one line"]),
        ("[node]\nname = \"Node A\"", ["2: node.name: \"Node A\" is not a name of 1 to 32 letters a-z, digits and '-'"]),
        ("[node.B]\nc2s = []", ["1: node.B: is no name of a node: write a name of 1 to 32 letters a-z, digits and '-'"]),
        ("[node.b]\nc2z = []", ["2: node.b.c2z: is not known: did you mean \"c2s\"?"]),
        (
            "[listen]\nc2s = \"127.0.0.1:5222\"",
            ["2: listen.c2s: is a string: write an array, each of it an address and port, as \"127.0.0.1:5222\" or \"[::1]:5222\""]
        ),
        (
            "[listen]\nc2s = [\"localhost:5222\"]",
            ["2: listen.c2s: \"localhost:5222\" is not an address and port, as \"127.0.0.1:5222\" or \"[::1]:5222\""]
        ),
        (
            "[listen]\nc2s = [\n\"127.0.0.1:5222\",\n\"127.0.0.1:0\"]",
            ["4: listen.c2s: \"127.0.0.1:0\" is not an address and port, as \"127.0.0.1:5222\" or \"[::1]:5222\""]
        ),
        (
            "[listen]\nc2s = [\"127.0.0.1:5222\", 5]",
            ["2: listen.c2s: has an integer in it: write an array, each of it an address and port, as \"127.0.0.1:5222\" or \"[::1]:5222\""]
        ),
        ("[listen]\nc2s = [\"127.0.0.1:5222\", \"127.0.0.1:5222\"]", ["2: listen.c2s: \"127.0.0.1:5222\" stands twice: keep one"]),
        (
            "[sessions]\nlocation = \"here:there\"",
            [
                "2: sessions.location: \"here:there\" is not a host, with a port or without, as \"xmpp1.example.org:5222\" or \"[2001:db8::1]:5222\""
            ]
        ),
        ("[log]\nlevels = { stroe = \"debug\" }", ["2: log.levels.stroe: is not known: did you mean \"store\"?"]),
        (
            "[log.levels]\nbus = \"loud\"",
            [
                "2: log.levels.bus: \"loud\" is not known: write one of \"trace\", \"debug\", \"info\", \"notice\", \"warning\", \"error\", \"critical\""
            ]
        ),
        (
            "[log]\nlevels = \"debug\"",
            [
                "2: log.levels: is a string: write a table, as { node = \"trace\" }, with keys of node, store, bus, c2s, components, backup, admin, watch and values of trace, debug, info, notice, warning, error, critical"
            ]
        ),
        (
            "[listen]\nhttp = [\"9280\"]",
            [
                "2: listen.http: \"9280\" is not an address and port, as \"127.0.0.1:9280\" or \"[::1]:9280\", or a socket, as \"unix:/run/martlet/http.sock\""
            ]
        ),
        (
            "[listen]\nhttp = [\"127.0.0.1:5222\"]",
            ["2: listen.http: \"127.0.0.1:5222\" stands in listen.c2s too: give one of them another port"]
        ),
        (
            "[listen]\nhttp = [\"unix:h\"]\n[node.b]\nhttp = [\"unix:h\"]",
            ["4: node.b.http: \"unix:h\" stands in listen.http too: each node needs an address of its own"]
        ),
        (
            "[listen]\nhttp = [\"unix:\(String(repeating: "x", count: 200))\"]",
            [
                "2: listen.http: \"unix:\(String(repeating: "x", count: 200))\" is not an address and port, as \"127.0.0.1:9280\" or \"[::1]:9280\", or a socket, as \"unix:/run/martlet/http.sock\""
            ]
        ),
        ("[listen]\nc2s = []", ["2: listen.c2s: nothing is listened on: write an address, as \"127.0.0.1:5222\""]),
        (
            "[listen]\nc2s = [\"127.0.0.1:5222\"]\n[node.b]\nc2s = [\"127.0.0.1:5222\"]",
            ["4: node.b.c2s: \"127.0.0.1:5222\" stands in listen.c2s too, in line 2: give one of them another port"]
        ),
        (
            "[authentication]\nmechanisms = []",
            [
                "2: authentication.mechanisms: is empty: write an array of some of \"SCRAM-SHA-512\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"PLAIN\", each once"
            ]
        ),
        ("[authentication]\nmechanisms = [\"PLAIN\", \"PLAIN\"]", ["2: authentication.mechanisms: \"PLAIN\" stands twice: keep one"]),
        (
            "[authentication]\nmechanisms = [\"CRAM-MD5\"]",
            [
                "2: authentication.mechanisms: \"CRAM-MD5\" is not known: write an array of some of \"SCRAM-SHA-512\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"PLAIN\", each once"
            ]
        ),
        (
            "[limits]\nstanza_bytes = 10000",
            [
                "2: limits.stanza_bytes_before_auth: 10240 is more than limits.stanza_bytes, which is 10000: lower it, or raise limits.stanza_bytes"
            ]
        ),
        (
            "[log]\nlevel = \"loud\"",
            [
                "2: log.level: \"loud\" is not known: write one of \"trace\", \"debug\", \"info\", \"notice\", \"warning\", \"error\", \"critical\""
            ]
        ),
        ("[log\n", ["1:5: the header is not closed: write ]"]),
        ("host = 3", ["1: host: is an integer: write [[host]] with two brackets, once for each host"]),
    ])
    func everyErrorNamesLineKeyAndMend(text: String, expected: [String]) {
        #expect(problems(text, host: text.contains("host =") || text.contains("[log\n") ? "" : nil) == expected)
    }

    @Test(arguments: [
        ("", [" host: there is no host: write [[host]] and below it domain = \"example.org\""]),
        ("[host]\ndomain = \"a\"", ["1: host: is a table: write [[host]] with two brackets, once for each host"]),
        ("[[host]]", ["1: host.domain: is missing: write domain = \"example.org\" below [[host]]"]),
        ("[[host]]\ndomain = \"a b\"", ["2: host.domain: \"a b\" is not a domain, as \"example.org\""]),
        ("[[host]]\ndomain = \"a@b\"", ["2: host.domain: \"a@b\" is not a domain, as \"example.org\""]),
        ("[[host]]\ndomain = \"a..b\"", ["2: host.domain: \"a..b\" is not a domain, as \"example.org\""]),
        ("[[host]]\ndomain = \"a\"\n[[host]]\ndomain = \"A\"", ["3: host.domain: \"a\" is a host already, in line 1: keep one"]),
        ("[[host]]\ndomain = \"a\"\nadmins = [\"b\"]", ["3: host.admins: \"b\" is not a bare JID, as \"admin@example.org\""]),
        ("[[host]]\ndomain = \"a\"\nadmins = [\"b@c/d\"]", ["3: host.admins: \"b@c/d\" is not a bare JID, as \"admin@example.org\""]),
        (
            "[[host]]\ndomain = \"a\"\nrequire_tls = false\nabuse_addresses = [\"mailto:a@b\", \"abuse@b\", \"x:\", \"1x:y\", \"https://a b\"]",
            ["abuse@b", "x:", "1x:y", "https://a b"].map {
                "4: host.abuse_addresses: \"\($0)\" is not a URI, as \"mailto:abuse@example.org\", \"xmpp:admin@example.org\" or \"https://example.org/help\""
            }
        ),
        ("[[host]]\ndomain = \"a\"\ncertificat = \"x\"", ["3: host.certificat: is not known: did you mean \"certificate\"?"]),
        ("[[host]]\ndomain = \"a\"\ncertificate = \"x\"", ["3: host.certificate: \"a\" has a certificate and no key: write both"]),
        ("[[host]]\ndomain = \"a\"\nkey = \"x\"", ["3: host.key: \"a\" has a key and no certificate: write both"]),
        (
            "[[host]]\ndomain = \"a\"\ndurability = \"never\"",
            ["3: host.durability: \"never\" is not known: write one of \"kept\", \"relay\""]
        ),
        (
            "[listen]\nc2s = [\"0.0.0.0:5222\"]\n[[host]]\ndomain = \"a\"",
            [
                "2: listen.c2s: \"0.0.0.0:5222\" is reached from other machines, and host \"a\" has no certificate: write certificate and key below [[host]], or listen on 127.0.0.1"
            ]
        ),
        (
            "[listen]\nc2s_direct_tls = [\"127.0.0.1:5223\"]\n[[host]]\ndomain = \"a\"",
            [
                "2: listen.c2s_direct_tls: \"127.0.0.1:5223\" needs TLS, and host \"a\" has no certificate: write certificate and key below [[host]]"
            ]
        ),
        (
            "[listen]\nc2s = [\"[::]:5222\"]\n[[host]]\ndomain = \"a\"\ncertificate = \"c\"\nkey = \"k\"\nrequire_tls = false",
            [
                "7: host.require_tls: false lets passwords of \"a\" cross the network in the clear, by \"[::]:5222\": write true, or listen on 127.0.0.1"
            ]
        ),
    ])
    func everyErrorOfAHostNamesLineKeyAndMend(text: String, expected: [String]) {
        #expect(problems(text, host: "") == expected)
    }

    @Test func allErrorsAreToldInTheOrderOfTheirLines() {
        let text = """
            [[host]]
            domain = "a"
            archive = 1
            [limits]
            depth = 0
            nothing = 1
            [log]
            level = 3
            """
        #expect(
            problems(text, host: "") == [
                "3: host.archive: is an integer: write true or false",
                "5: limits.depth: 0 is out of range: write a number from 8 to 1024 (elements)",
                "6: limits.nothing: is not known: known are "
                    + SettingsTable.all.filter { $0.table == "limits" }.map(\.name).joined(separator: ", "),
                "8: log.level: is an integer: write one of \"trace\", \"debug\", \"info\", \"notice\", \"warning\", \"error\", \"critical\"",
            ])
    }

    @Test func whatMayBeAMistakeIsAWarning() throws {
        let (_, warnings) = try Settings.parse("[[host]]\ndomain = \"a\"\n[debug]\nmanual_clock = true", file: "f")
        #expect(
            Set(warnings.map(\.description)) == [
                "f:1: host.certificate: \"a\" requires TLS and has no certificate: nobody can log in. Write certificate and key, or require_tls = false on loopback",
                "f:4: debug.manual_clock: is on: whoever reaches the admin socket can move the clock of the protocol. For tests only",
            ])
    }

    @Test func changesAreSortedByWhenTheyCount() {
        var old = Settings()
        old.hosts = [Settings.Host(domain: "a"), Settings.Host(domain: "b")]
        var new = old
        #expect(old.differences(to: new).isEmpty)
        new.limits.depth = 32
        new.store.readers = 4
        new.listen.c2sOfNode = ["b": []]
        new.hosts[0].archive = false
        new.hosts[1].domain = "c"
        let changes = old.differences(to: new)
        #expect(changes.filter { $0.effect == .live }.map(\.key) == ["limits.depth", "host a archive", "host b", "host c"])
        #expect(changes.filter { $0.effect == .restart }.map(\.key) == ["store.readers", "node.b.c2s"])
        #expect(changes.first == SettingsChange(key: "limits.depth", old: "64", new: "32", effect: .live))
        let taken = old.taking(liveOf: new)
        #expect(taken.differences(to: new).map(\.effect) == [.restart, .restart])
        #expect(taken.limits.depth == 32)
        #expect(taken.store.readers == old.store.readers)
        #expect(taken.hosts == new.hosts)
        let entries = taken.entries()
        #expect(
            entries.first { $0.key == "limits.depth" } == SettingsEntry(key: "limits.depth", value: "32", isLive: true, isDefault: false))
        #expect(entries.first { $0.key == "host c domain" }?.value == "\"c\"")
    }

    @Test(arguments: [
        ("127.0.0.1:5222", true, false), ("0.0.0.0:1", false, false), ("127.9.9.9:65535", true, false), ("[::1]:5222", true, true),
        ("[::]:5222", false, true),
        ("[2001:db8::1]:5222", false, true),
    ])
    func addresses(text: String, loopback: Bool, v6: Bool) throws {
        let address = try #require(ListenAddress(text))
        #expect(address.isLoopback == loopback && address.isIPv6 == v6 && address.description == text)
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:05", "127.0.0.1:-1", "1.2.3:5", "::1:5222", "[::1]5222", "[]:1",
        "a:1", "127.0.0.1\u{0}:1",
    ])
    func noAddresses(text: String) {
        #expect(ListenAddress(text) == nil)
    }
}

@Suite struct SettingsFileTests {
    /// A directory of its own, taken away at the end.
    private func withDirectory(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/settings-XXXXXX".utf8CString)
        let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        var files: [String] = []
        defer {
            files = ["martlet.toml", "cert.pem", "key.pem"]
            for file in files { unlink(directory + "/" + file) }
            rmdir(directory)
        }
        try body(directory)
    }

    private func write(_ text: [UInt8], to path: String, mode: mode_t = 0o600) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        #expect(Glibc.write(descriptor, text, text.count) == text.count)
        fchmod(descriptor, mode)
    }

    @Test func pathsCountFromTheFileAndAreLookedAt() throws {
        try withDirectory { directory in
            let file = directory + "/martlet.toml"
            let text = "[[host]]\ndomain = \"a\"\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n"
            try write(Array(text.utf8), to: file)
            #expect(
                Settings.check(file: file).text == """
                    \(file):3: host.certificate: \(directory)/cert.pem cannot be read (No such file or directory): write the path of a PEM file
                    \(file):4: host.key: \(directory)/key.pem cannot be read (No such file or directory): write the path of a PEM file
                    \(file): 2 errors

                    """)
            try write([], to: directory + "/cert.pem")
            try write([], to: directory + "/key.pem", mode: 0o644)
            let (settings, warnings) = try Settings.load(file: file)
            #expect(settings.node.directory == directory + "/data")
            #expect(settings.hosts[0].key == directory + "/key.pem")
            #expect(warnings.map(\.description) == ["\(file):4: host.key: \(directory)/key.pem can be read by others: chmod 600"])
            #expect(
                Settings.check(file: file) == (
                    """
                    warning: \(file):4: host.key: \(directory)/key.pem can be read by others: chmod 600
                    \(file): good
                      hosts      a
                      listening  127.0.0.1:5222
                      directory  \(directory)/data

                    """, true
                ))
        }
    }

    @Test func filesThatCannotBeReadAreNamed() throws {
        try withDirectory { directory in
            let file = directory + "/martlet.toml"
            #expect(Settings.check(file: file) == ("\(file): cannot be opened (No such file or directory)\n\(file): 1 error\n", false))
            #expect(Settings.check(file: directory).text == "\(directory): cannot be read (Is a directory)\n\(directory): 1 error\n")
            try write([0xFF], to: file)
            #expect(Settings.check(file: file).text == "\(file): is not UTF-8: save it in that encoding\n\(file): 1 error\n")
            try write([UInt8](repeating: 0x20, count: 1_048_577), to: file)
            #expect(Settings.check(file: file).text.hasPrefix("\(file): is larger than 1048576 bytes"))
        }
    }

    @Test func theDirectoryOfAFile() {
        #expect(SettingsFile.directory(of: "a.toml") == ".")
        #expect(SettingsFile.directory(of: "/a.toml") == "/")
        #expect(SettingsFile.directory(of: "x/y/a.toml") == "x/y")
    }
}
