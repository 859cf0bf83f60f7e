import Glibc
import TestKit
import Testing

@testable import martletload

extension ClusterTests {
    /// `martletload` on a cluster: what it measures adds up, and what it finds wrong it says.
    @Suite(.serialized) struct LoadTests {
        /// A number of the line that it ends with.
        private func number(_ name: String, in text: String) -> Int? {
            guard let start = text.firstRange(of: "\"\(name)\":") else { return nil }
            return Int(text[start.upperBound...].prefix { $0.isNumber })
        }

        @Test func findsPromisesKept() throws {
            let authority = try TestAuthority()
            try authority.issue("host", names: "DNS:capulet.lit")
            let cluster = try ProcessCluster(
                nodes: 2,
                settings: "certificate = \"\(authority.path("host.crt"))\"\nkey = \"\(authority.path("host.key"))\"")
            let made = try cluster.run("martletload", ["accounts", "12", "--domain", cluster.domain], input: "/dev/null")
            let lines = made.text.split(separator: "\n").map { String($0) }
            #expect(made.status == 0 && lines.count == 12 && Set(lines).count == 12)
            try cluster.admin(0).demand("user", "import", secret: lines)
            let accounts = cluster.directory + "/accounts"
            try write(made.text, to: accounts)
            let targets = cluster.ports.flatMap { ["--target", "127.0.0.1:\($0)"] }

            /// Runs it, and looks at what every run must say.
            func load(_ words: [String], accounts: String = accounts) throws -> String {
                let result = try cluster.run("martletload", words + targets, input: accounts)
                #expect(result.status == 0, "\(words): \(result.text)")
                for name in ["lost", "duplicates", "reordered", "errors"] { #expect(number(name, in: result.text) == 0, "\(result.text)") }
                #expect((number("operations", in: result.text) ?? 0) > 0, "\(words): \(result.text)")
                return result.text
            }
            let bound = ["--tls", "starttls", "--ca", authority.anchor]
            let mix = try load(
                ["mix", "chat:3", "iq", "presence", "archive", "--window", "2", "--duration", "0.5", "--warm-up", "0", "--cross"] + bound)
            for kind in ["chat", "iq", "presence", "archive"] { #expect(mix.contains("\"\(kind)_us\":{\"count\":")) }
            let dropped = try load(
                ["mix", "chat", "iq", "--rate", "200", "--duration", "1", "--warm-up", "0", "--sm", "--drops", "20"] + bound)
            #expect((number("drops", in: dropped) ?? 0) > 0 && dropped.contains("\"resume_us\""))
            let offline = try load(["offline", "--senders", "2", "--messages", "20", "--tls", "none"])
            #expect(number("operations", in: offline) == 400)
            _ = try load(["login", "--duration", "0.5", "--concurrency", "3", "--tls", "none", "--mechanism", "SCRAM-SHA-1"])
            let storm = try load(
                ["idle", "--sessions", "24", "--ping-every", "0.2", "--duration", "1", "--storm", "24", "--sm", "--tls", "none"])
            #expect(storm.contains("\"storm_seconds\":"))

            // Passwords that are wrong, and a certificate that leads elsewhere: it ends with 1, says why, and keeps them to itself.
            let wrong = cluster.directory + "/wrong"
            try write("load0@\(cluster.domain) not-the-password\nload1@\(cluster.domain) not-the-password\n", to: wrong)
            for (words, why) in [(["--tls", "none"], "not-authorized"), (["--tls", "starttls", "--ca", "/etc/passwd"], "certificates")] {
                let result = try cluster.run("martletload", ["mix", "chat"] + words + targets, input: wrong)
                #expect(result.status == 1 && result.text.contains(why) && !result.text.contains("not-the-password"), "\(result.text)")
            }
            // A session that the load does not know takes what is meant for one of its own: it is missed. A machine that is too slow for so
            // little patience ends with 1 as well.
            let password = lines[1].split(separator: " ").last.map { String($0) } ?? ""
            let thief = try XMPPClient(
                port: cluster.ports[0], domain: cluster.domain, user: "load1", resource: "thief", password: password)
            try thief.send("<presence><priority>9</priority></presence>")
            try thief.ping("there")
            let robbed = try cluster.run(
                "martletload",
                ["mix", "chat", "--sessions", "2", "--duration", "0.2", "--warm-up", "0", "--tls", "none", "--patience", "3"] + targets,
                input: accounts)
            #expect(robbed.status == 1, "\(robbed.text)")
            #expect((number("lost", in: robbed.text) ?? 0) > 0 || robbed.text.contains("not logged in"), "\(robbed.text)")
            let stranger = try TestAuthority()
            let untrusted = try cluster.run("martletload", ["mix", "chat", "--ca", stranger.anchor] + targets, input: accounts)
            #expect(untrusted.status == 1 && untrusted.text.contains("the certificate"), "\(untrusted.text)")
            let elsewhere = try cluster.run("martletload", ["mix", "chat", "--target", "192.0.2.1:5222"], input: accounts)
            #expect(elsewhere.status == 64 && elsewhere.text.contains("--this-is-my-server"), "\(elsewhere.text)")
        }

        private func write(_ text: String, to path: String) throws {
            let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
            guard file >= 0 else { throw ProcessFailure(path) }
            defer { close(file) }
            let bytes = Array(text.utf8)
            guard Glibc.write(file, bytes, bytes.count) == bytes.count else { throw ProcessFailure(path) }
        }

        @Test func tellsWhatIsLostDoubledAndReordered() {
            func sequence(_ numbers: [UInt64]) -> ReceivedSequence {
                var sequence = ReceivedSequence()
                for number in numbers { _ = sequence.receive(number) }
                return sequence
            }
            let rows: [(numbers: [UInt64], sent: UInt64, lost: UInt64, duplicates: Int, reordered: Int)] = [
                ([], 0, 0, 0, 0), ([], 3, 3, 0, 0), ([0, 1, 2], 3, 0, 0, 0), ([0, 1], 3, 1, 0, 0), ([0, 2], 3, 1, 0, 1),
                ([0, 2, 1], 3, 0, 0, 1), ([0, 0, 1, 2], 3, 0, 1, 0), ([0, 2, 2, 1, 1], 3, 0, 2, 1), ([3, 2, 1, 0], 4, 0, 0, 3),
            ]
            for row in rows {
                let found = sequence(row.numbers)
                #expect(
                    found.missing(of: row.sent) == row.lost && found.duplicates == row.duplicates && found.reordered == row.reordered,
                    "\(row)")
            }
        }

        @Test func percentilesAreWithinASixtyFourth() {
            var histogram = Histogram()
            #expect(histogram.percentile(0.5) == 0)
            for value in 1...100_000 as ClosedRange<UInt64> { histogram.add(value) }
            for (share, exact) in [(0.5, 50_000.0), (0.9, 90_000), (0.99, 99_000), (0.999, 99_900), (1, 100_000)] {
                let found = Double(histogram.percentile(share))
                #expect(found >= exact && found <= exact * (1 + 1 / 64.0), "\(share): \(found)")
            }
            histogram.add(.max)
            #expect(histogram.highest == .max && histogram.percentile(1) == .max && histogram.count == 100_001)
            histogram.add(0)
            #expect(histogram.percentile(0) == 0)
        }

        @Test func readsTargets() {
            let good = ["127.0.0.1:5222", "[::1]:5222", "localhost:1", "127.9.9.9:65535"]
            for text in good { #expect(Target(text)?.isLoopback == true, "\(text)") }
            for text in ["192.0.2.1:5222", "example.org:5222", "127.0.0.1.example.org:5222", "[2001:db8::1]:5222", "127.0.0:1", "127.1:1"] {
                #expect(Target(text)?.isLoopback == false, "\(text)")
            }
            for text in ["", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", ":5222"] {
                #expect(Target(text) == nil, "\(text)")
            }
        }
    }
}
