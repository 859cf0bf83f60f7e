import Testing

@testable import AdminLanguage

@Suite struct RequestTests {
    private func sentence(_ line: String, debug: Bool = false) -> String? {
        do {
            _ = try CommandTable.parse(line, debug: debug)
            return nil
        } catch {
            return error.sentence
        }
    }

    @Test func aRequestNamesItsCommandArgumentsAndOptions() throws {
        let add = try CommandTable.parse("user add juliet@example.org")
        #expect(add.command.name == "user add")
        #expect(add.command.secret == .password)
        #expect(add.command.effect == .writes)
        #expect(add.text("JID") == "juliet@example.org")

        let list = try CommandTable.parse("session list --limit=20 --user juliet@example.org --node b")
        #expect(list.integerOption("limit") == 20)
        #expect(list.option("user") == "juliet@example.org")
        #expect(list.option("node") == "b")
        #expect(list.option("host") == nil)
        #expect(list.integerOption("user") == nil)

        let kick = try CommandTable.parse(#"session kick "juliet@example.org/on the balcony" --reason "please go""#)
        #expect(kick.text("JID") == "juliet@example.org/on the balcony")
        #expect(kick.option("reason") == "please go")

        #expect(try CommandTable.parse("user import --keys").flag("keys"))
        #expect(try !CommandTable.parse("user import").flag("keys"))
        #expect(try CommandTable.parse("help user add").texts("COMMAND") == ["user", "add"])
        #expect(try CommandTable.parse("node show").text("NODE") == nil)
    }

    @Test func twoDashesEndTheOptions() throws {
        #expect(try CommandTable.parse("session kick -- --odd@example.org").text("JID") == "--odd@example.org")
    }

    @Test func anOptionTakesTheNextWordWhateverItLooksLike() throws {
        #expect(try CommandTable.parse("user disable a@b --reason --really").option("reason") == "--really")
    }

    @Test(arguments: [("+300s", 300), ("300", 300), ("5m", 300), ("2h", 7200), ("1d", 86_400), ("+3650d", 315_360_000)])
    func durationsBecomeSeconds(text: String, seconds: Int) throws {
        #expect(try CommandTable.parse("clock \(text)", debug: true).integer("DURATION") == seconds)
    }

    @Test(arguments: ["", "s", "+", "-5s", "5x", "1.5h", "9999999999", "999999999d", "5 s"])
    func otherDurationsAreRefused(text: String) {
        #expect(sentence("clock \(Words.quote(text))", debug: true) != nil)
    }

    @Test func theClockIsThereForDebuggingOnly() {
        #expect(sentence("clock +1s") == #""clock" is not a command (word 1, column 1): did you mean "block"?"#)
        #expect(sentence("clock +1s", debug: true) == nil)
    }

    @Test(arguments: [
        ("", "the line is empty: write a command, or help"),
        ("user", #""user" needs one more word: add, passwd, delete, list, show, devices, enable, disable, import, restore"#),
        ("usre add x@y", #""usre" is not a command (word 1, column 1): did you mean "user"?"#),
        ("user ad x@y", #""user ad" is not a command (word 2, column 6): did you mean "user add"?"#),
        ("user  dalete x@y", #""user dalete" is not a command (word 2, column 7): did you mean "user delete"?"#),
        (
            "user frobnicate",
            #""user frobnicate" is not a command (word 2, column 6): after "user" comes one of add, passwd, delete, list, show, devices, enable, disable, import, restore"#
        ),
        ("frobnicate", #""frobnicate" is not a command (word 1, column 1): "help" shows all commands"#),
        ("user add", #""user add" needs JID: write user add JID"#),
        ("user add juliet", #""juliet" is no JID (word 3, column 10): write user@host"#),
        ("user add juliet@example.org/x", #""juliet@example.org/x" is no JID (word 3, column 10): write user@host"#),
        ("user add @example.org", #""@example.org" is no JID (word 3, column 10): write user@host"#),
        ("user add juliet@", #""juliet@" is no JID (word 3, column 10): write user@host"#),
        ("user add a@b secret", #""secret" is one word too many (word 4, column 14): write user add JID"#),
        ("session show a@b", #""a@b" is no FULLJID (word 3, column 14): write user@host/resource"#),
        ("session show a@b/", #""a@b/" is no FULLJID (word 3, column 14): write user@host/resource"#),
        ("session kick x", #""x" is no JID (word 3, column 14): write user@host or user@host/resource"#),
        ("session list --limit 0", #""0" is no --limit (word 4, column 22): write a number from 1 to 1000000"#),
        ("session list --limit many", #""many" is no --limit (word 4, column 22): write a number from 1 to 1000000"#),
        ("session list --limit", "--limit needs a value after it (word 3, column 14): write --limit N"),
        ("session list --limt 3", #""session list" has no option --limt (word 3, column 14): did you mean --limit?"#),
        (
            "session list --colour",
            #""session list" has no option --colour (word 3, column 14): it has --user, --match, --domain, --node, --address, --tls, --no-tls, --client, --idle, --queue, --state, --sort, --after, --limit"#
        ),
        ("status --all", #""status" has no option --all (word 2, column 8): it takes no options"#),
        ("session list --limit 1 --limit 2", "--limit stands twice (word 5, column 24): keep one"),
        ("user import --keys=yes", "--keys takes no value (word 3, column 13): write --keys alone"),
        ("user list --host a@b", #""a@b" is no --host (word 4, column 18): write the domain alone, as example.org"#),
        ("user list --host \"\"", "--host is empty (word 4, column 18): write a value"),
        ("node stop B!", #""B!" is no NODE (word 3, column 11): write a node's name, 1 to 32 of a-z, 0-9 and '-'; "node list" shows them"#),
        (
            "node stop " + String(repeating: "a", count: 33),
            "\"" + String(repeating: "a", count: 33)
                + #"" is no NODE (word 3, column 11): write a node's name, 1 to 32 of a-z, 0-9 and '-'; "node list" shows them"#
        ),
    ])
    func everyErrorSaysWhatToDo(line: String, expected: String) {
        #expect(sentence(line) == expected)
    }

    @Test func theTableIsSound() throws {
        var names = Set<String>()
        for command in CommandTable.all + CommandTable.client {
            #expect(names.insert(command.name).inserted, "\(command.name) stands twice")
            #expect(command.summary.hasSuffix("."))
            #expect(command.arguments.dropLast().allSatisfy { !$0.repeats })
            let firstOptional = command.arguments.firstIndex { $0.isOptional } ?? command.arguments.endIndex
            #expect(command.arguments[firstOptional...].allSatisfy { $0.isOptional })
            #expect(Set(command.options.map(\.name)).count == command.options.count)
            for example in command.examples where !CommandTable.client.contains(where: { $0.path == command.path }) {
                let line = example.split(separator: "<")[0].replacing("--json ", with: "").replacing("'", with: "\"")
                #expect(try CommandTable.parse(String(line), debug: true).command.name == command.name)
            }
        }
        // No path begins another: the longest match would hide the shorter one's arguments.
        for a in CommandTable.all {
            for b in CommandTable.all where a.name != b.name { #expect(!b.path.starts(with: a.path)) }
        }
    }

    @Test func helpShowsWhatIsAskedFor() throws {
        let overview = try Help.lines(for: [])
        for command in CommandTable.all where !command.isDebug {
            #expect(overview.contains { $0.hasPrefix(command.name) && $0.hasSuffix(command.summary) })
        }
        #expect(!overview.contains { $0.hasPrefix("clock") })
        #expect(try Help.lines(for: ["user", "disable"]).first == "user disable JID [--reason TEXT]")
        #expect(try Help.lines(for: ["user", "disable", "x"]).first == "user disable JID [--reason TEXT]")
        #expect(try Help.lines(for: ["session"]).count == 3)
        #expect(throws: LineError("\"sesion\" is not a command (word 1, column 1): did you mean \"session\"?", word: 1, column: 1)) {
            try Help.lines(for: ["sesion"])
        }
    }
}

@Suite struct ImportLineTests {
    private func refusal(_ line: String, keys: Bool = false) -> String? {
        do {
            _ = try ImportLine.parse(line, keys: keys)
            return nil
        } catch {
            return error.sentence
        }
    }

    @Test func aPasswordRunsToTheEndOfTheLine() throws {
        #expect(try ImportLine.parse("a@b s e cret ", keys: false) == .password(jid: "a@b", password: "s e cret "))
        #expect(try ImportLine.parse("a@b\tpass", keys: false) == .password(jid: "a@b", password: "pass"))
        #expect(try ImportLine.parse(" \t", keys: false) == nil)
        #expect(try ImportLine.parse("", keys: true) == nil)
    }

    @Test func keysOfSeveralHashesStandInOneLine() throws {
        let one = "SCRAM-SHA-256$4096:c2FsdA==$AAAA:BBBB"
        let two = "SCRAM-SHA-1$10000:c2FsdA==$AAAA:BBB="
        #expect(try ImportLine.parse("a@b\t\(one)  \(two)", keys: true) == .keys(jid: "a@b", keys: "\(one) \(two)"))
    }

    @Test(arguments: [
        "SCRAM-MD5$4096:AAAA$AAAA:AAAA", "SCRAM-SHA-256$x:AAAA$AAAA:AAAA", "SCRAM-SHA-256$4096:AAAA$AAAA",
        "SCRAM-SHA-256$4096:AAA$AAAA:AAAA",
        "SCRAM-SHA-256$4096:A===$AAAA:AAAA", "SCRAM-SHA-256$4096:$AAAA:AAAA", "SCRAM-SHA-256$1234567890:AAAA$AAAA:AAAA", "hunter2",
    ])
    func aKeyOfAnotherShapeIsRefusedAndNotRepeated(key: String) {
        #expect(refusal("a@b \(key)", keys: true) == "key 1 is not MECHANISM$ITERATIONS:SALT$STOREDKEY:SERVERKEY")
    }

    @Test func everyRefusalSaysWhatIsMissing() {
        #expect(refusal("a@b") == "no password: write the JID, a space and the password")
        #expect(refusal("a@b ") == "the password is empty")
        #expect(refusal(" x") == "no JID: the line begins with a space")
        #expect(refusal("a@b", keys: true) == "no key: write the JID, a space and the keys")
        #expect(refusal("a@b  ", keys: true) == "no key: write the JID, a space and the keys")
        let key = "SCRAM-SHA-1$4096:AAAA$AAAA:AAAA"
        #expect(refusal("a@b \(key) \(key)", keys: true) == "key 2 is a second key for SCRAM-SHA-1")
    }

    @Test(arguments: [
        (["store", "backup", "here"], ["store", "backup", "/home/here"]),
        (["store", "backup", "--detach", "a/b"], ["store", "backup", "--detach", "/home/a/b"]),
        (["store", "backup", "/there"], ["store", "backup", "/there"]),
        (["store", "restore", "./b", "--to", "c", "--yes"], ["store", "restore", "/home/./b", "--to", "/home/c", "--yes"]),
        (["store", "restore", "--to=c", "b"], ["store", "restore", "--to=/home/c", "/home/b"]),
        (
            ["user", "restore", "a@b", "--what", "roster", "--from", "x"],
            ["user", "restore", "a@b", "--what", "roster", "--from", "/home/x"]
        ),
        (["user", "show", "a@b"], ["user", "show", "a@b"]),
        (["no", "command"], ["no", "command"]),
        (["store"], ["store"]),
    ])
    func pathsBeginWhereTheClientStands(words: [String], resolved: [String]) {
        #expect(CommandTable.resolvingPaths(words, in: "/home") == resolved)
    }

    @Test func aRequestAboutFilesIsForNoNode() throws {
        #expect(try CommandTable.parse("store restore /b --to /c").isAboutFiles)
        #expect(try CommandTable.parse("store verify /b").isAboutFiles)
        #expect(try !CommandTable.parse("store verify").isAboutFiles)
        #expect(try !CommandTable.parse("store backup /b").isAboutFiles)
    }
}
