import Bus
import BusProtocol
import Glibc
import Settings
import Testing

@Suite(.serialized) struct ProcessTests {
    /// A node of this process, and one in another.
    private func pair(_ cluster: Cluster) throws -> (Cluster.Node, Peer, NodeID) {
        let node = try cluster.node("m")
        let peer = try cluster.peer("p")
        try eventually("the peer comes up") { node.links.members.count == 1 }
        let info = try #require(node.links.members.first)
        #expect(info.pid == peer.pid && info.product == "Martlet test peer")
        return (node, peer, info.id)
    }

    @Test func echoesAcrossProcesses() throws {
        let cluster = try Cluster()
        let (node, _, id) = try pair(cluster)
        for i in 0..<100 { node.post(Array("\(i)".utf8), to: id) }
        try eventually("all come back") { node.recorder.payloads(from: id).count == 100 }
        #expect(node.recorder.payloads(from: id) == (0..<100).map { Array("\($0)".utf8) })
    }

    @Test func killedNodeIsDownAtOnce() throws {
        let cluster = try Cluster()
        // The judge would need ten minutes: if it is known sooner, the kernel said so.
        cluster.settings.beatMilliseconds = 60_000
        cluster.settings.missedBeats = 10
        let (node, peer, id) = try pair(cluster)
        peer.signal(SIGKILL)
        try eventually("it is reported") { node.recorder.changes.contains(.down(id, .died)) }
        #expect(try peer.ended() == SIGKILL)
        #expect(node.links.members.isEmpty && node.links.pending(to: id) == 0)
    }

    @Test func whatTheDeadSentComesBeforeItsDeath() throws {
        let cluster = try Cluster()
        for _ in 0..<5 {
            let (node, peer, id) = try pair(cluster)
            for i in 0..<2000 { node.post(Array("\(i)".utf8) + Array(repeating: 32, count: 1000), to: id) }
            try eventually("it is in the midst of it") { node.recorder.payloads(from: id).count > 10 }
            peer.signal(SIGKILL)
            try eventually("it is reported") { node.recorder.changes.last == .down(id, .died) }
            _ = try peer.ended()
            let count = node.recorder.payloads(from: id).count
            let numbers = node.recorder.payloads(from: id).map { String(decoding: $0.prefix { $0 != 32 }, as: UTF8.self) }
            #expect(numbers == (0..<count).map { "\($0)" })
            #expect(node.recorder.all.last == .down(id, .died))
            node.links.stop()
        }
    }

    @Test func stoppedNodeIsFenced() throws {
        let cluster = try Cluster()
        // Two seconds: what merely has no time for a moment is not meant.
        cluster.settings.beatMilliseconds = 250
        cluster.settings.missedBeats = 8
        let (node, peer, id) = try pair(cluster)
        node.post([1], to: id)
        try eventually("it lives") { !node.recorder.payloads(from: id).isEmpty }
        peer.signal(SIGSTOP)
        try eventually("it is fenced") { node.recorder.changes.contains(.down(id, .fenced)) }
        #expect(try peer.ended() == SIGKILL)
    }

    @Test func livingNodeIsLeftAlone() throws {
        let cluster = try Cluster()
        cluster.settings.beatMilliseconds = 20
        cluster.settings.missedBeats = 100
        let (node, _, id) = try pair(cluster)
        // Longer than the judge waits, which itself is longer than a busy machine keeps a process waiting.
        let end = now() + 2_500_000_000
        var sent = 0
        while now() < end {
            node.post([1], to: id)
            sent += 1
            try eventually("it answers") { node.recorder.payloads(from: id).count == sent }
        }
        #expect(node.recorder.changes == [.up(id)])
    }

    @Test func leavingNodeIsNotDead() throws {
        let cluster = try Cluster()
        let (node, peer, id) = try pair(cluster)
        peer.sayGoodbye()
        try eventually("it leaves") { node.recorder.changes.last == .down(id, .left) }
        peer.end()
        #expect(node.recorder.changes == [.up(id), .down(id, .left)])
    }

    @Test func restartedNodeIsAnother() throws {
        let cluster = try Cluster()
        let (node, peer, id) = try pair(cluster)
        peer.signal(SIGKILL)
        _ = try peer.ended()
        _ = try cluster.peer("p")
        try eventually("the new one is up") { node.links.members.first.map { $0.id != id } ?? false }
        let new = try #require(node.links.members.first).id
        try eventually("that is told, too") { node.recorder.changes == [.up(id), .down(id, .died), .up(new)] }
    }
}
