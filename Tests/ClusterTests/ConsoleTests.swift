import AdminLanguage
import Glibc
import TestKit
import Testing

extension ClusterTests {
    /// `martletctl` as a person sees it: on a terminal, with a real cluster behind it.
    @Suite(.serialized) struct ConsoleTests {
        @Test func aConsoleFromItsFirstLineToItsLast() throws {
            let cluster = try ProcessCluster(nodes: 2)
            let directory = cluster.directory + "/cluster"
            let state = "XDG_STATE_HOME=\(cluster.directory)/state"
            let terminal = try PseudoTerminal("martletctl", ["--directory", directory], environment: [state], width: 120)
            try terminal.wait(for: "cluster/a>")
            try edits(terminal, cluster)
            try asksForSecrets(terminal, cluster)
            try completes(terminal, cluster)
            try watches(terminal)
            try follows(terminal, cluster)
            try pages(terminal, cluster)
            try resizes(terminal)
            try reconnects(terminal, cluster)
            try terminal.type("\u{4}")
            #expect(try terminal.end() == 0)
            #expect(terminal.screen.unknown.isEmpty)
            #expect(!terminal.screen.marksPastes)
            try history(cluster)
        }

        /// What the server says of words that are not whole.
        @Test func theServerSaysWhatAWordMayBecome() throws {
            let cluster = try ProcessCluster(nodes: 2)
            try cluster.addAccounts(["juliet", "julius", "romeo"])
            let client = try cluster.connect("juliet", resource: "balcony", node: 1)
            defer { client.drop() }
            let admin = try cluster.admin(0)
            func words(_ request: String...) throws -> [ReplyValue?] {
                let answer = try admin.ask(["complete"] + request)
                #expect(answer.error == nil, "\(answer.sentence)")
                return answer.rows.map { $0["word"] }
            }
            let at = "@\(cluster.domain)"
            #expect(try words("node") == ["a", "b"])
            #expect(try words("node", "b") == ["b"])
            #expect(try words("host", "cap") == [.text(cluster.domain)])
            #expect(try words("component") == [.text("plays.\(cluster.domain)"), .text("push.\(cluster.domain)")])
            #expect(try words("account", "jul") == [.text("juliet" + at), .text("julius" + at)])
            #expect(try words("account", "jul", "--limit", "1") == [.text("juliet" + at)])
            #expect(try words("session") == [.text("juliet\(at)/balcony")])
            #expect(try words("session", "juliet\(at)/bal") == [.text("juliet\(at)/balcony")])
            #expect(try words("jid", "rom") == [.text("romeo" + at)])
            #expect(try words("jid", "juliet\(at)/") == [.text("juliet\(at)/balcony")])
            #expect(try words("backup") == [])
            #expect(try words("account", "nobody") == [])
            let path = try admin.demand("store", "backup").fact("path")
            #expect(try words("backup", "/") == [path])
            let wrong = try admin.ask(["complete", "nod"])
            #expect(wrong.error == .usage && wrong.sentence.hasSuffix("did you mean \"node\"?"))
            #expect(try admin.ask(["complete", "file"]).error == .usage)
            #expect(try admin.ask(["complete", "node", "--limit", "0"]).error == .usage)
        }

        /// The page is written by hand: no option of the program is forgotten in it.
        @Test func theManualOfTheNodeNamesItsOptions() throws {
            let terminal = try PseudoTerminal("martletd", ["--help"], width: 200, height: 100)
            #expect(try terminal.end() == 0)
            let options = terminal.screen.lines.compactMap { line in
                line.split(separator: " ").first { $0.hasPrefix("--") }.map { $0.split(separator: "/")[0].filter { $0 != "," } }
            }
            #expect(options.contains("--config"))
            for option in options where !option.isEmpty {
                #expect(Manual.martletd.contains(option.replacing("-", with: "\\-")), "\(option)")
            }
        }

        private func edits(_ terminal: PseudoTerminal, _ cluster: ProcessCluster) throws {
            #expect(terminal.screen.marksPastes)
            try terminal.type("node lost\u{7F}\u{7F}\u{7F}ist\r")
            try terminal.wait(for: "2 nodes")
            try terminal.type("user shaw\r")
            try terminal.wait(for: "did you mean \"user show\"?")
            // The line before, mended.
            try terminal.type("\u{1B}[A\u{7F}\u{7F}ow nobody@\(cluster.domain)\r")
            try terminal.wait(for: "there is no account nobody@\(cluster.domain)")
            try terminal.type("\u{12}node")
            try terminal.wait(for: "search) node: node list")
            try terminal.type("\u{7}no such thing\u{3}")
            try terminal.wait(for: "no such thing^C")
            try terminal.type("\u{1B}[200~status\nstatus\n\u{1B}[201~")
            try terminal.wait(for: "a> status status")
            try terminal.type("\u{15}status\r")
            try terminal.wait(for: "the cluster serves")
        }

        private func asksForSecrets(_ terminal: PseudoTerminal, _ cluster: ProcessCluster) throws {
            try terminal.type("user add juliet@\(cluster.domain)\r")
            try terminal.wait(for: "Password:")
            try terminal.type("hunter2\r")
            try terminal.wait(for: "Once more:")
            try terminal.type("hunter2\r")
            try terminal.wait(for: "juliet@\(cluster.domain) added")
            #expect(!terminal.screen.text.contains("hunter2"))
            try terminal.type("user import\r")
            try terminal.wait(for: "Write the lines")
            try terminal.type("romeo@\(cluster.domain) hunter3\nrosaline@\(cluster.domain) hunter3\n.\n")
            try terminal.wait(for: "accounts added: 2")
        }

        private func completes(_ terminal: PseudoTerminal, _ cluster: ProcessCluster) throws {
            let client = try XMPPClient(
                port: cluster.ports[1], domain: cluster.domain, user: "juliet", resource: "on the balcony", password: "hunter2")
            defer { client.drop() }
            try terminal.type("sess\tsh\tjuliet@\(cluster.domain)/\t")
            try terminal.wait(for: "a> session show \"juliet@\(cluster.domain)/on the balcony\"")
            try terminal.type("\r")
            try terminal.wait(for: "--more--")
            try terminal.type("q")
            try terminal.wait("the prompt") { $0.line == "cluster/a>" }
            try terminal.type("user show ro\t\t")
            try terminal.wait("both candidates") {
                $0.lines.contains { $0.hasPrefix("romeo@\(cluster.domain)") && $0.contains("rosaline@\(cluster.domain)") }
            }
            try terminal.type("m\t\u{15}session list --node=\t\t")
            try terminal.wait(for: "--node=a  --node=b")
            try terminal.type("\u{15}")
        }

        private func watches(_ terminal: PseudoTerminal) throws {
            try terminal.type("watch user add x@y\r")
            try terminal.wait(for: "user add changes something")
            try terminal.type("watch -n 1 status\r")
            try terminal.wait("the screen of watch") {
                $0.isAlternate && $0.lines[0].hasPrefix("every 1 s: status") && $0.text.contains("serves")
            }
            try terminal.type("q")
            try terminal.wait("the console") { !$0.isAlternate && $0.line.hasPrefix("cluster/a>") }
            try terminal.type("watch node list\r")
            try terminal.wait("the screen of watch") { $0.isAlternate && $0.text.contains("2 nodes") }
            try terminal.type("\u{3}")
            try terminal.wait("the console") { !$0.isAlternate && $0.line.hasPrefix("cluster/a>") }
        }

        /// A command without end is ended by ctrl-c, and the console is there again.
        private func follows(_ terminal: PseudoTerminal, _ cluster: ProcessCluster) throws {
            try terminal.type("\u{C}trace romeo@\(cluster.domain)\r")
            try terminal.wait(for: "ctrl-c ends it")
            try terminal.type("\u{3}")
            try terminal.wait("the prompt") { $0.line == "cluster/a>" }
            try terminal.type("version\r")
            try terminal.wait(for: "admin_language")
        }

        private func pages(_ terminal: PseudoTerminal, _ cluster: ProcessCluster) throws {
            try terminal.type("help\r")
            try terminal.wait(for: "--more--")
            #expect(terminal.screen.text.contains("user add JID"))
            try terminal.type("\rq")
            try terminal.wait("the prompt") { $0.line == "cluster/a>" }
            try terminal.type("\u{C}module list\r")
            try terminal.wait(for: "--more--")
            try terminal.type("q")
            // The rest of that answer is not taken for this one.
            try terminal.wait("the prompt") { $0.line == "cluster/a>" }
            try terminal.type("version\r")
            try terminal.wait(for: "admin_language")
        }

        private func resizes(_ terminal: PseudoTerminal) throws {
            try terminal.type("node show")
            try terminal.wait(for: "a> node show")
            terminal.resize(width: 30, height: 40)
            try terminal.wait(for: "a> node show")
            try terminal.type("\u{15}node list\r")
            // Too many columns for this width: each row as facts.
            try terminal.wait(for: "2 nodes")
            try terminal.wait("rows as facts") { $0.text.contains("memory_mib") && $0.lines.contains { $0.hasPrefix("role") } }
            terminal.resize(width: 100, height: 30)
            try terminal.wait(for: "cluster/a>")
        }

        private func reconnects(_ terminal: PseudoTerminal, _ cluster: ProcessCluster) throws {
            try terminal.type("connect b\r")
            try terminal.wait("the other node") { $0.line == "cluster/b>" }
            try cluster.kill9(1)
            try terminal.wait(for: "node b closed the connection")
            try terminal.wait(for: "connected to node a")
            try terminal.type("version\r")
            try terminal.wait(for: "admin_language")
            try terminal.wait("the prompt") { $0.line == "cluster/a>" }
        }

        /// The file is for its user alone, and no secret is in it.
        private func history(_ cluster: ProcessCluster) throws {
            let path = cluster.directory + "/state/martlet/history"
            var status = stat()
            try #require(stat(path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
            let lines = try readFile(path)
            #expect(lines.contains("user add juliet@\(cluster.domain)\n"))
            #expect(!lines.contains("hunter"))
        }

        private func readFile(_ path: String) throws -> String {
            let file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { throw ProcessFailure("\(path) cannot be read") }
            defer { close(file) }
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = read(file, &bytes, bytes.count)
            return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        }
    }
}
