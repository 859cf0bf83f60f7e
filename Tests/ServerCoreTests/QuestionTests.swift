import Synchronization
import Testing

@testable import ServerCore
@testable import TestKit

/// Questions to all nodes, of which some say nothing.
@Suite struct QuestionTests {
    /// What came of a question.
    private final class Outcome: Sendable {
        let parts = Mutex(0)
        let silent = Mutex<Set<UInt64>?>(nil)
    }

    /// Asks on the first node while the third stands still.
    private func ask(_ cluster: MemoryCluster) -> Outcome {
        let outcome = Outcome()
        for loop in cluster.nodes[2].loops { loop.stop() }
        cluster.nodes[0].shards[0].enter { shard in
            shard.ask(
                SessionFilter().question, part: { _ in outcome.parts.withLock { $0 += 1 } },
                done: { silent in outcome.silent.withLock { $0 = silent } })
        }
        cluster.run()
        return outcome
    }

    @Test func aNodeThatLivesAndSaysNothingIsNamed() throws {
        let stage = try Stage(nodes: 3)
        _ = try stage.online("romeo", "orchard", node: 1)
        let outcome = ask(stage.cluster)
        #expect(outcome.silent.withLock { $0 } == nil)
        stage.cluster.tick(seconds: 3)
        stage.cluster.run()
        #expect(outcome.silent.withLock { $0 } == [stage.cluster.nodes[2].id])
        #expect(outcome.parts.withLock { $0 } == 1)
    }

    /// Nothing is missing without it: its sessions ended with it.
    @Test func aNodeThatEndsMeanwhileIsNotWaitedFor() throws {
        let stage = try Stage(nodes: 3)
        _ = try stage.online("romeo", "orchard", node: 1)
        let outcome = ask(stage.cluster)
        #expect(outcome.silent.withLock { $0 } == nil)
        stage.cluster.kill(2)
        stage.cluster.run()
        #expect(outcome.silent.withLock { $0 } == [])
        #expect(outcome.parts.withLock { $0 } == 1)
    }
}
