import AdminLanguage
import BusProtocol
import Glibc
import TestKit
import Testing
import XMLStream

extension ClusterTests {
    /// What a server does whose machine fails it: the rows of the failure matrix that no other suite tries on whole processes.
    @Suite(.serialized) struct FailureMatrixTests {
        // MARK: Room

        @Test(
            .enabled("a disk that can be filled wants root, loop devices and ext4; what is missing is printed") { PowerDisk.isPermitted() })
        func aFullDiskRefusesLosesNothingAndOpensAgain() throws {
            let disk = try PowerDisk(mebibytes: 24)
            let cluster = try ProcessCluster(nodes: 2, settings: "archive = true", disk: disk)
            let stage = try FullStage(cluster)
            try stage.write()
            #expect(stage.refused.isEmpty)
            try disk.fill(leaving: 128)
            try stage.writeUntilRefused()
            try stage.waitUntilShut(because: "no space is left on the file system of the store")
            // Who is there goes on: presence, requests, the archive; and whoever comes.
            try stage.juliet.send("<presence to='\(stage.romeo.jid)'><status>starved</status></presence>")
            try stage.romeo.receive { $0.local == "presence" && $0["from"] == stage.juliet.jid }
            try stage.romeo.ping("with a full disk")
            #expect(try Chat.archive("juliet", on: 0, of: cluster).count >= stage.kept.count)
            try disk.free()
            try stage.waitUntilOpen()
            try stage.write()
            try stage.finish()
        }

        /// At its quota the store refuses what grows; sessions begin and end, what is owed is delivered and acknowledged, and what an
        /// administrator removes makes room.
        @Test func atItsQuotaWhatIsRemovedMakesRoom() throws {
            let cluster = try ProcessCluster(
                nodes: 2, settings: "archive = true", script: [.init(table: "store", line: "quota_mib = 2")])
            let stage = try FullStage(cluster)
            try stage.writeUntilRefused()
            try stage.waitUntilShut(because: "the store has reached its quota ([store] quota_mib)")
            let failures = { try cluster.monitor(try cluster.keeper(), "/metrics").value("martlet_commits_failed_total") ?? 0 }
            let before = try failures()
            // Somebody comes, is seen, asks and goes.
            for node in 0..<2 {
                let late = try cluster.connect("juliet", resource: "late\(node)", node: node)
                try late.send("<presence/>")
                try late.ping("at the quota")
                try late.close()
            }
            #expect(try failures() == before, "sessions are refused, or the store is asked without end")
            let admin = try cluster.admin(0)
            let refused = try admin.ask(["user", "add", "nurse@\(cluster.domain)"], secret: [XMPPClient.password])
            #expect(refused.sentence.contains("the store has reached its quota ([store] quota_mib)"))
            for name in ["romeo", "juliet"] { _ = try admin.demand("archive", "purge", "\(name)@\(cluster.domain)", "--all") }
            try stage.waitUntilOpen()
            try stage.write()
            try stage.finishReading()
            #expect(try admin.demand("store", "verify").fact("findings") == .integer(0))
        }

        // MARK: Descriptors

        @Test func withoutDescriptorsWhoIsThereIsServedAndOthersWait() throws {
            let cluster = try ProcessCluster(nodes: 1)
            try cluster.addAccounts(["romeo", "juliet"])
            let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
            let admin = try cluster.admin(0)
            let pid = cluster.pids[0]
            let used = try #require(Descriptors.count(of: pid))
            try Descriptors.bound(pid, to: used + 4, cluster)
            let line = "no file descriptor is left for new connections"
            #expect(!cluster.log(0).contains(line))
            // More than there are, and they stay: the kernel takes them, the server cannot.
            var crowd = try (0..<12).map { _ in try Descriptors.connect(to: cluster.ports[0]) }
            defer { for file in crowd { close(file) } }
            let began = Deadline.now
            let deadline = Deadline(in: .patient)
            while !cluster.log(0).contains(line), !deadline.isOver { poll(nil, 0, 5) }
            #expect(cluster.log(0).contains(line))
            // Nobody who is there notices, and the loop does not spin: far less than its whole time, however little it got.
            let before = try #require(Descriptors.ticks(of: pid))
            let start = Deadline.now
            var pings = 0
            while Deadline.now - start < 2_000_000_000 {
                try romeo.ping("crowd\(pings)")
                pings += 1
                poll(nil, 0, 100)
            }
            let busy = Double(try #require(Descriptors.ticks(of: pid)) - before) / Double(sysconf(Int32(_SC_CLK_TCK)))
            #expect(busy < Double(Deadline.now - start) / 1_000_000_000 * 0.6, "the node spins")
            try romeo.send(Chat.message(to: "juliet@\(cluster.domain)", id: "romeo-1"))
            try romeo.ping("kept")
            #expect(try admin.demand("user", "list").rows.count == 2)
            // Said once a minute, not for each of them.
            let minutes = Int((Deadline.now - began) / 60_000_000_000)
            #expect(cluster.log(0).split(separator: "\n").count { $0.contains(line) } <= 1 + minutes)
            for file in crowd { close(file) }
            crowd = []
            let juliet = try cluster.connect("juliet", resource: "balcony", node: 0)
            try juliet.send("<presence/>")
            #expect(try juliet.receive { $0.local == "message" }["id"] == "romeo-1")
        }

        // MARK: Time

        /// The clocks run an hour ahead, and are right again when the nodes come back: from there it is an hour back.
        @Test func aClockThatJumpsBackLeavesTheArchiveInOrder() throws {
            let cluster = try ProcessCluster(nodes: 2, settings: "archive = true")
            try cluster.addAccounts(["romeo", "juliet", "nurse", "marker"])
            func write(_ numbers: Range<Int>, from node: Int) throws {
                let romeo = try cluster.connect("romeo", resource: "pen", node: node)
                for number in numbers { try romeo.send(Chat.message(to: "juliet@\(cluster.domain)", id: "romeo-\(number)")) }
                try romeo.ping("written")
                try romeo.close()
            }
            let keeper = try cluster.keeper()
            let heir = 1 - keeper
            try write(0..<5, from: heir)
            try cluster.admin(keeper).demand("clock", "1h")
            try write(5..<10, from: heir)
            for index in cluster.names.indices { try cluster.kill9(index) }
            for index in cluster.names.indices { try cluster.start(index) }
            for index in cluster.names.indices { try cluster.waitUntilServing(index, seeing: 2) }
            try write(10..<15, from: 0)
            let all = try Chat.archive("juliet", on: 1, of: cluster)
            #expect(all.map(\.id) == (0..<15).map { "romeo-\($0)" })
            let stamps = try Chat.stamps("juliet", on: 0, of: cluster)
            #expect(stamps.count == 15 && stamps == stamps.sorted() && Set(stamps).count == 15, "\(stamps)")
            // It is seen, and refuses nobody.
            let ahead = try cluster.names.indices.map { try cluster.monitor($0, "/metrics").value("martlet_stamps_ahead_total") ?? 0 }
            #expect(ahead.reduce(0, +) >= 5)
            // Changes and logins do not mind.
            try cluster.admin(0).demand("user", "passwd", "nurse@\(cluster.domain)", secret: [XMPPClient.password])
            try cluster.connect("nurse", resource: nil, node: 1).close()
            let letters = try Chat.drain("juliet", on: 0, of: cluster)
            #expect(letters.map(\.id) == (0..<15).map { "romeo-\($0)" })
        }

        // MARK: Strangers

        /// A program that speaks another protocol comes to the run directory, as after an upgrade that went too far.
        @Test func aNodeOfAnotherProtocolIsNamedAndRefused() throws {
            let cluster = try ProcessCluster(nodes: 2)
            try cluster.addAccounts(["romeo"])
            let romeo = try cluster.connect("romeo", resource: "orchard", node: 0)
            let process = NodeInfo.own
            for (protocols, volume) in [(UInt16(90)...UInt16(91), [UInt8](repeating: 7, count: 16)), (1...1, [7])] {
                // The smaller name dials.
                let node = NodeInfo(
                    id: NodeID(name: "a-stranger", incarnation: 4_711), pid: process.pid, startTime: process.startTime, featureLevel: 1,
                    loops: 1, volumeID: volume, product: "Martlet of another time")
                let hello = Hello(
                    node: node, peerIncarnation: 0, received: 0, newest: protocols.upperBound, oldest: protocols.lowerBound)
                let answer = try Stranger.greet("\(cluster.home)/run/node-b.sock", with: hello)
                #expect(answer == .refused, "\(cluster.logTails)")
            }
            let words = ["A hello was refused", "otherProtocol", "otherVolume", "a-stranger"]
            let deadline = Deadline(in: .patient)
            while !words.allSatisfy(cluster.log(1).contains), !deadline.isOver { poll(nil, 0, 5) }
            for word in words { #expect(cluster.log(1).contains(word), "\(cluster.logTails)") }
            try romeo.ping("served")
            #expect(try cluster.admin(1).demand("node", "list").rows.count == 2)
        }

        /// Two processes under one name, and a run directory that is none.
        @Test func whatCannotStartSaysWhy() throws {
            let cluster = try ProcessCluster(nodes: 2)
            let pid = cluster.pids[1]
            let twin = try cluster.startTwin(of: 1)
            #expect(twin.status == 1)
            #expect(twin.text.contains("\(pid)") && twin.text.contains("b"), "\(twin.text)")
            try cluster.waitUntilServing(1, seeing: 2)
            #expect(cluster.pids[1] == pid)
            // The last one out; then somebody puts a file in the place of the directory.
            for index in cluster.names.indices { try cluster.kill9(index) }
            let run = cluster.home + "/run"
            #expect(rename(run, run + ".aside") == 0)
            try cluster.write("not a directory", to: run)
            try cluster.start(0)
            #expect(try cluster.waitForEnd(0) == 1)
            #expect(cluster.log(0).contains(run), "\(cluster.logTails)")
            #expect(unlink(run) == 0)
            try cluster.start(0)
            try cluster.waitUntilServing(0)
        }
    }
}
