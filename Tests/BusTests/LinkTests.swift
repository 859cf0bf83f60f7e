import Bus
import BusProtocol
import Glibc
import Testing

@Suite(.serialized) struct LinkTests {
    @Test func nodesFindEachOther() throws {
        let cluster = try Cluster()
        let all = try cluster.nodes("c", "a", "b")
        for node in all {
            #expect(node.links.members.map(\.id).sorted() == all.map(\.id).filter { $0 != node.id }.sorted())
            try eventually("it is told of both") { node.recorder.changes.count == 2 }
            #expect(node.links.view == 2 && node.links.featureLevel == 1)
        }
    }

    @Test func everyLaneIsAFIFOBothWays() throws {
        let cluster = try Cluster()
        let all = try cluster.nodes("a", "b")
        let (a, b) = (all[0], all[1])
        for i in 0..<3000 {
            let payload = Array("\(i)".utf8)
            a.post(payload, to: b.id, lane: Lane.allCases[i % 3])
            b.post(payload, to: a.id, lane: Lane.allCases[i % 3])
        }
        for (node, other) in [(a, b.id), (b, a.id)] {
            for lane in Lane.allCases {
                try eventually("everything arrives") { node.recorder.payloads(from: other, lane).count >= 1000 }
                let expected = (0..<3000).filter { $0 % 3 == Int(lane.rawValue) }.map { Array("\($0)".utf8) }
                #expect(node.recorder.payloads(from: other, lane) == expected)
            }
        }
        try eventually("nothing is pending") { a.links.pending(to: b.id) == 0 }
        #expect(b.recorder.all.contains(.received(Array("0".utf8), from: a.id, fromLoop: 1, toLoop: 0, lane: .control)))
    }

    @Test func largePayloadsLetControlPass() throws {
        let cluster = try Cluster()
        let all = try cluster.nodes("a", "b")
        let (a, b) = (all[0], all[1])
        var large = [UInt8](repeating: 0, count: 20 << 20)
        for i in stride(from: 0, to: large.count, by: 4096) { large[i] = UInt8(truncatingIfNeeded: i >> 12) }
        a.post(large, to: b.id, lane: .bulk)
        a.post([], to: b.id, lane: .bulk)
        a.post([1], to: b.id, lane: .control)
        try eventually("the large payload arrives") { b.recorder.payloads(from: a.id, .bulk).count == 2 }
        let isWhole = b.recorder.payloads(from: a.id, .bulk) == [large, []]
        #expect(isWhole)
        guard case .received(_, _, _, _, let first) = b.recorder.all[1] else {
            Issue.record("nothing received")
            return
        }
        #expect(first == .control)
    }

    @Test func lostConnectionsLoseNothing() throws {
        let cluster = try Cluster()
        let all = try cluster.nodes("a", "b", "c")
        let total = 2000
        var cuts = 0
        for i in 0..<total {
            for node in all {
                for other in all where other.id != node.id {
                    // Now and then more than the kernel holds, so that a cut finds bytes on their way.
                    node.post(Array("\(i)".utf8) + Array(repeating: 32, count: i % 97 == 0 ? 300_000 : 0), to: other.id)
                }
            }
            if i % 200 == 100 { cuts += cluster.cut() }
        }
        #expect(cuts > 0)
        for node in all {
            for other in all where other.id != node.id {
                try eventually("everything arrives") { node.recorder.payloads(from: other.id).count >= total }
                let numbers = node.recorder.payloads(from: other.id).map { String(decoding: $0.prefix { $0 != 32 }, as: UTF8.self) }
                let isOnceAndInOrder = numbers == (0..<total).map { "\($0)" }
                #expect(isOnceAndInOrder)
            }
            #expect(node.recorder.changes.count == 2, "a lost connection is nobody's death")
        }
        try eventually("the statistics tell of it") { all.contains { $0.links.statistics.contains { $0.resumptions > 0 } } }
    }

    @Test func goodbyeComesAfterEverythingPosted() throws {
        let cluster = try Cluster()
        let all = try cluster.nodes("a", "b", "c")
        for i in 0..<500 { all[1].post([UInt8(truncatingIfNeeded: i)], to: all[0].id, lane: .bulk) }
        all[1].links.goodbye()
        for node in [all[0], all[2]] {
            try eventually("the others hear it") { node.recorder.changes.contains(.down(all[1].id, .left)) }
        }
        #expect(all[0].recorder.payloads(from: all[1].id, .bulk).count == 500)
        #expect(all[0].recorder.all.last == .down(all[1].id, .left))
        all[1].links.stop()
        // The name is free: another incarnation is another node.
        let again = try cluster.node("b")
        for node in [all[0], all[2]] {
            try eventually("it comes up") { node.recorder.changes.contains(.up(again.id)) }
        }
        all[0].post([7], to: all[1].id)
        all[0].post([8], to: again.id)
        try eventually("only the living is reached") { again.recorder.payloads(from: all[0].id) == [[8]] }
        #expect(all[0].links.undelivered == 1)
    }

    @Test func nameBelongsToOneProcess() throws {
        let cluster = try Cluster()
        let a = try cluster.node("a")
        #expect(throws: BusError.nameTaken("a", pid: getpid())) { try cluster.node("a") }
        a.links.stop()
        a.links.stop()
        _ = try cluster.node("a")
    }

    @Test func nodesOfOtherVolumesStayStrangers() throws {
        let cluster = try Cluster()
        let stranger = try cluster.node("a", volume: "other")
        let all = try cluster.nodes("b", "c")
        // They have met the two by now: the smaller name dials at once, and "a" is the smallest.
        let late = try cluster.node("d")
        try eventually("the others are up") { late.links.members.count == 2 && all.allSatisfy { $0.links.members.count == 2 } }
        #expect(stranger.recorder.all.isEmpty)
    }

    @Test func refusesUnsafeDirectories() throws {
        let cluster = try Cluster()
        #expect(throws: BusError.invalidNode) { try cluster.node("../a") }
        let long = cluster.directory + "/" + String(repeating: "x", count: 90)
        #expect(throws: BusError.pathTooLong(long + "/node-a.sock.new")) {
            _ = try Cluster.Node("a", long, cluster.settings, volume: "test")
        }
        #expect(access(long, F_OK) != 0, "nothing was made")
        let file = cluster.directory + "/file"
        close(open(file, O_CREAT | O_WRONLY, 0o600))
        #expect(throws: BusError.unsafeDirectory(file)) { _ = try Cluster.Node("a", file, cluster.settings, volume: "test") }
        chmod(cluster.directory, 0o755)
        _ = try cluster.node("a")
        var status = stat()
        stat(cluster.directory, &status)
        #expect(status.st_mode & 0o777 == 0o700)
        for name in ["node-a.sock", "node-a.beat", "node-a.lock"] {
            stat("\(cluster.directory)/\(name)", &status)
            #expect(status.st_mode & 0o777 == 0o600, "\(name)")
        }
    }
}
