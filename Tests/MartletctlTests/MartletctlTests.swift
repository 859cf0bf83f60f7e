import Glibc
import Testing

/// The built program against a socket that plays a node.
@Suite struct MartletctlTests {
    private let hello = Step.send("martlet 1 a\n")

    /// A cluster's directory of its own with the run directory in it, taken away at the end.
    private func withDirectory(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/martletctl-XXXXXX".utf8CString)
        let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        try #require(mkdir(directory + "/run", 0o700) == 0)
        defer {
            for name in ["a", "b"] { unlink("\(directory)/run/admin-\(name).sock") }
            rmdir(directory + "/run")
            rmdir(directory)
        }
        try body(directory)
    }

    /// Runs a command against one node with a script; the run, and what the node got.
    private func run(_ words: [String], _ script: [Step], input: String = "") throws -> (run: Run, got: [String]) {
        var result: (Run, [String])?
        try withDirectory { directory in
            let node = try FakeNode(directory + "/run/admin-a.sock", script)
            let run: Run
            do {
                run = try Run(["--timeout", "60", "--directory", directory] + words, input: input)
            } catch {
                _ = node.end()
                throw error
            }
            result = (run, node.end())
        }
        return try #require(result)
    }

    @Test func aTableIsShownToPeopleAndToPrograms() throws {
        let script = [hello, .take, .send("# sessions jid queue\n| a@b/c 7\n| \"d@e/f g\" 1024\nok 2 sessions\n")]
        let people = try run(["session", "list", "--user", "a b"], script)
        #expect(people.run == Run(out: "JID      QUEUE\na@b/c        7\nd@e/f g   1024\n2 sessions\n", status: 0))
        #expect(people.got == ["session list --user \"a b\""])
        let programs = try run(["session", "list", "--json"], script)
        #expect(programs.run == Run(out: #"[{"jid":"a@b/c","queue":7},{"jid":"d@e/f g","queue":1024}]"# + "\n", status: 0))
        #expect(programs.got == ["session list"])
    }

    @Test func aReplyMayComeInAnyPieces() throws {
        let script = [hello, .take] + "= node \"é\"\nok done\n".map { Step.send(String($0)) }
        #expect(try run(["status"], script).run == Run(out: "node  é\ndone\n", status: 0))
    }

    @Test func aPasswordIsTheFirstLineOfStandardInputAndNeverInTheCommand() throws {
        let script = [hello, .take, .send("? password\n"), .take, .send("ok made\n")]
        let add = try run(["user", "add", "a@b"], script, input: " two  words\r\nnot this\n")
        #expect(add.run == Run(out: "made\n", status: 0))
        #expect(add.got == ["user add a@b", " two  words"])
        let none = try run(["user", "add", "a@b"], script)
        #expect(
            none.run == Run(err: "martletctl: standard input does not begin with a line that is a password: nothing was done\n", status: 2))
        #expect(none.got == ["user add a@b"])
    }

    @Test func linesAreSentToTheirEndWithDotsDoubled() throws {
        let script = [
            hello, .take, .send("? lines\n"), .takeLines, .send("% 2 -\n! line 2: no such host\nerror partial 2 done, 1 refused\n"),
        ]
        let result = try run(["user", "import"], script, input: "a@b x\n.dot@b y\n.")
        #expect(result.got == ["user import", "a@b x", "..dot@b y", "..", "."])
        #expect(result.run == Run(err: "warning: line 2: no such host\nmartletctl: 2 done, 1 refused\n", status: 3))
    }

    @Test(
        arguments: [
            ("usage", 2), ("not-found", 1), ("exists", 1), ("invalid", 1), ("refused", 1), ("unavailable", 1), ("failed", 1),
            ("partial", 3),
        ] as [(String, Int32)])
    func theExitStatusTellsTheError(code: String, status: Int32) throws {
        #expect(
            try run(["status"], [hello, .take, .send("error \(code) so it is\n")]).run == Run(err: "martletctl: so it is\n", status: status)
        )
    }

    @Test func aNodeThatDoesNotEndItsAnswerIsNoConnection() throws {
        let gone = try run(["status"], [hello, .take, .send("= node a\n")]).run
        #expect(gone.status == 4)
        #expect(
            gone.err == "martletctl: node a closed the connection before its answer was whole: what was asked for may or may not be done\n")
        let odd = try run(["status"], [hello, .take, .send("HTTP/1.1 400 Bad Request\n"), .linger]).run
        #expect(
            odd
                == Run(
                    err:
                        "martletctl: node a answers in words this program does not know: a line begins with no mark of a reply: \"HTTP/1.1 400 Bad Request\"\n",
                    status: 4))
    }

    @Test func theNextNodeAnswersForOneThatIsStopped() throws {
        try withDirectory { directory in
            // Takes the connection into its backlog and never greets, as a stopped process does.
            let stopped = try FakeNode(directory + "/run/admin-a.sock", [])
            let node = try FakeNode(directory + "/run/admin-b.sock", [.send("martlet 1 b\n"), .take, .send("ok\n")])
            let run = try Run(["--directory", directory, "--timeout", "60", "status"])
            #expect(run == Run(status: 0))
            #expect(node.end() == ["status"])
            _ = stopped.end()
        }
    }

    @Test func whoDoesNotSpeakTheLanguageIsNoNode() throws {
        try withDirectory { directory in
            let socket = directory + "/run/admin-a.sock"
            let other = try FakeNode(socket, [.send("220 mail ready\n"), .linger])
            #expect(
                try Run(["--socket", socket, "status"])
                    == Run(err: "martletctl: \(socket): something answers there, but no Martlet node\n", status: 4))
            _ = other.end()
            let newer = try FakeNode(socket, [.send("martlet 2 a\n"), .linger])
            #expect(
                try Run(["status"], environment: ["MARTLET_SOCKET=\(socket)"])
                    == Run(
                        err:
                            "martletctl: \(socket): node a speaks version 2 of the admin language, this program version 1: use the martletctl of its own build\n",
                        status: 4))
            _ = newer.end()
        }
    }

    @Test func withoutANodeTheSentenceSaysWhy() throws {
        try withDirectory { (directory) throws in
            let run = directory + "/run"
            #expect(
                try Run(["--directory", directory, "status"])
                    == Run(err: "martletctl: no node runs in \(directory): there is no \(run)/admin-*.sock\n", status: 4))
            #expect(
                try Run(["--socket", run + "/x", "status"])
                    == Run(err: "martletctl: \(run)/x: there is no such socket: is the node running?\n", status: 4))
            #expect(
                try Run(["--directory", directory + "/x", "status"])
                    == Run(
                        err:
                            "martletctl: \(directory)/x/run: No such file or directory: is \(directory)/x the directory of a cluster, and does it run?\n",
                        status: 4))
        }
    }

    @Test(arguments: [
        (["--timeout", "x", "status"], "\"x\" is no --timeout: write seconds from 1 to 86400"),
        (["--socket"], "--socket needs a value after it"),
        (["--socket=a", "--directory=b", "status"], "--directory and --socket are two ways to say the same: give one"),
        (
            ["--colour", "status"],
            "\"--colour\" is not known before the command: known are --directory, --socket, --timeout, --generate, --json, --more, --no-more, --keep-going, --complete, --help"
        ),
        (["completion", "tcsh"], "name a shell: martletctl completion bash|zsh|fish"),
        (["--generate", "info"], "info cannot be generated: write --generate man|man-martletd|bash|zsh|fish alone"),
        (["watch", "user", "delete", "a@b"], "user delete changes something: watch is for commands that only read"),
        (["watch", "store", "verify", "--repair"], "store verify changes something: watch is for commands that only read"),
        (["watch", "-n", "0", "status"], "\"0\" is no -n: write seconds from 1 to 3600, then the command"),
        (["watch", "store", "verify", "/x"], "store verify is about files: run it once, without watch"),
        (["connect", "b"], "connect is for the console: write martletctl alone to be in it"),
        (["watch"], "watch needs a command that reads, as: watch -n 5 session list"),
        (["watch", "stats"], "\"stats\" is not a command (word 1, column 1): did you mean \"status\"?"),
        (["help", "usr"], "\"usr\" is not a command (word 1, column 1): did you mean \"user\"?"),
    ])
    func wrongWordsAreUsage(arguments: [String], sentence: String) throws {
        #expect(try Run(arguments) == Run(err: "martletctl: \(sentence)\n", status: 2))
    }

    @Test func helpAndCompletionNeedNoNode() throws {
        #expect(try Run(["help", "node", "stop"]).out.hasPrefix("node stop [NODE]\n"))
        #expect(try Run(["node", "stop", "--help"]).out.hasPrefix("node stop [NODE]\n"))
        #expect(try Run(["--help"]).out.hasPrefix("usage: martletctl"))
        #expect(try Run(["help"]).out.contains("\nwatch COMMAND"))
        #expect(try Run(["completion", "zsh"]).out.contains("compdef _martletctl martletctl"))
    }
}
