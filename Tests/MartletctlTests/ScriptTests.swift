import Glibc
import Testing

/// Commands from standard input, and what shells and manuals are made of.
@Suite struct ScriptTests {
    private let hello = Step.send("martlet 1 a\n")
    private let ok: [Step] = [.take, .send("ok done\n")]

    private func run(_ script: [Step], _ arguments: [String] = [], input: String = "") throws -> (run: Run, got: [String]) {
        var template = Array("/tmp/martletctl-XXXXXX".utf8CString)
        let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer { rmdir(directory) }
        let node = try FakeNode(directory + "/a.sock", [hello] + script)
        let run = try Run(["--socket", node.path] + arguments, input: input)
        return (run, node.end())
    }

    @Test func theFirstCommandThatFailsEndsAScript() throws {
        let script = ok + [.take, .send("error not-found there is no account a@b\n")] + ok
        let input = "status\n# a comment\n\nuser show a@b\nversion\n"
        let stopped = try run(script, input: input)
        #expect(stopped.got == ["status", "user show a@b"])
        #expect(
            stopped.run
                == Run(out: "done\n", err: "martletctl: there is no account a@b\nmartletctl: line 4 failed: user show a@b\n", status: 1))
        let goesOn = try run(script, ["--keep-going"], input: input)
        #expect(goesOn.got == ["status", "user show a@b", "version"])
        #expect(goesOn.run.out == "done\ndone\n" && goesOn.run.status == 1)
    }

    @Test func aScriptHoldsWhatItsCommandsAskFor() throws {
        let script = [.take, .send("? password\n"), .take, .send("ok\n"), .take, .send("? lines\n"), .takeLines, .send("ok\n")] + ok
        let (run, got) = try run(script, input: "user add a@b\n two  words \r\nuser import\na@b x\n.dot@b y\n.\nstatus\n")
        #expect(run == Run(out: "done\n", status: 0))
        #expect(got == ["user add a@b", " two  words ", "user import", "a@b x", "..dot@b y", ".", "status"])
    }

    @Test func linesOfAScriptAreReadAsTheyAreWritten() throws {
        let json = try run([.take, .send("= node a\nok\n")], ["--json"], input: "node show\r\nquit\nstatus\n")
        #expect(json.run == Run(out: "{\"node\":\"a\"}\n", status: 0) && json.got == ["node show"])
        let last = try run(ok, input: "status")
        #expect(last.run == Run(out: "done\n", status: 0))
        let quotes = try run([], input: "user show \"a\nstatus\n")
        #expect(quotes.run.status == 2 && quotes.run.err.hasSuffix("martletctl: line 1 failed: user show \"a\n"))
        #expect(try Run([]) == Run(status: 0))
        #expect(
            try Run([], input: "watch status\n")
                == Run(err: "martletctl: watch has no end: it is not for a script\nmartletctl: line 1 failed: watch status\n", status: 2))
        // Without a node the first command says so.
        let none = try Run(["--socket", "/nowhere/x.sock"], input: "status\n")
        #expect(none.status == 4 && none.err.hasSuffix("martletctl: line 1 failed: status\n"))
    }

    @Test func theShellsAskWhatAWordMayBecome() throws {
        #expect(try Run(["--complete", "--", "user", "sh"]).out == "show\n")
        #expect(try Run(["--complete", "watch", "-n", "5", "session", "k"]).out == "")
        #expect(try Run(["--complete", "watch", "-n", "5", "session", "l"]).out == "list\n")
        #expect(try Run(["--complete", "--time"]).out == "--timeout\n")
        #expect(try Run(["--complete", "--generate", "man"]).out == "man\nman-martletd\n")
        #expect(try Run(["--complete", "--line", "martletctl --json user 'sh"]).out == "show\n")
        let answer: [Step] = [.take, .send("# words word\n| juliet@b\n| julius@b\nok\n")]
        let (words, got) = try run(answer, ["--complete", "user", "show", "jul"])
        #expect(got == ["complete account --limit 200 -- jul"])
        #expect(words == Run(out: "juliet@b\njulius@b\n", status: 0))
        // A node that says nothing holds nobody up for long, and is no error.
        #expect(try run([.linger], ["--complete", "user", "show", "jul"]).run == Run(status: 0))
        let files = try Run(["--complete", "store", "compact", "/et"])
        #expect(files.out == "/etc/\n")
    }

    @Test func bashCompletes() throws {
        let script = """
            PATH="$1:$PATH"
            source <(martletctl completion bash)
            complete_line() {
                COMP_LINE=$1 COMP_POINT=${#1}; shift
                COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
                _martletctl
                echo "${COMPREPLY[@]}"
            }
            complete_line "martletctl user sh" martletctl user sh
            complete_line "martletctl session list --no" martletctl session list --no
            complete_line "martletctl --generate=ma" martletctl --generate = ma
            complete_line "martletctl user restore a@b --what=ro" martletctl user restore a @ b --what = ro
            """
        // Where standard input is a socket bash takes itself for one that was called from another machine, and reads a file of its user.
        let run = try Run(["--norc", "-c", script, "bash", try Run.folder()], program: "/bin/bash")
        #expect(run == Run(out: "show\n--node --no-tls\nman man-martletd\nroster\n", status: 0))
    }

    @Test(.enabled(if: access("/usr/bin/man", X_OK) == 0, "man is not installed"), arguments: ["man", "man-martletd"])
    func theManualsAreWellFormed(page: String) throws {
        let script = "\"$1\" --generate \(page) | LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -"
        let run = try Run(["-c", script, "sh", try Run.folder() + "/martletctl"], program: "/bin/sh", environment: ["PATH=/usr/bin:/bin"])
        #expect(run.err == "" && run.status == 0)
        // Bold is a letter over itself on some terminals.
        var plain = ""
        for letter in run.out.unicodeScalars {
            if letter == "\u{8}" { plain.unicodeScalars.removeLast() } else { plain.unicodeScalars.append(letter) }
        }
        #expect(plain.contains("EXIT STATUS"))
    }
}
