import AdminLanguage
import AdminSocket
import Monitoring
import ServerCore
import Synchronization
import Telemetry

/// Where this node stands in its cluster: who keeps the store, whether it serves, in which epoch. Asked of the first loop, which knows.
final class Standing: Sendable {
    private struct Facts {
        var isKeeper = false
        var isServed = false
        var epoch: UInt64 = 0
    }

    /// Answers later than this are no answers.
    private static let patience = Duration.seconds(2)

    private let core: Core
    private let facts = Mutex(Facts())
    private let isLeaving = Atomic(false)

    /// - Throws: `RegistrationError` when a name is taken.
    init(_ core: Core, _ registry: Registry) throws(RegistrationError) {
        self.core = core
        func flag(_ name: String, _ help: String, _ value: @escaping @Sendable (Facts) -> Double) throws(RegistrationError) {
            try registry.reading(name, help: help) { [weak self] in self.map { value($0.facts.withLock { $0 }) } ?? 0 }
        }
        try flag("martlet_keeper", "1 while this node keeps the store.") { $0.isKeeper ? 1 : 0 }
        try flag("martlet_served", "1 while this node knows a keeper that serves.") { $0.isServed ? 1 : 0 }
        try flag("martlet_epoch", "How many keepers the store has had, as this node knows it.") { Double($0.epoch) }
        try registry.reading("martlet_draining", help: "1 while this node takes no clients, because it was drained or stops.") {
            [weak self] in
            self?.isLeaving.load(ordering: .relaxed) == true ? 1 : 0
        }
    }

    /// From now on the node is not ready.
    func leave() { isLeaving.store(true, ordering: .relaxed) }

    /// It takes clients again.
    func comeBack() { isLeaving.store(false, ordering: .relaxed) }

    /// Asks the first loop; calls back once, there or when it does not answer in time.
    func refresh(_ done: @escaping @Sendable () -> Void) {
        guard let shard = core.shards.first else { return done() }
        let once = Once(done)
        Timeout.after(Self.patience) { once.run() }
        shard.enter { [self] shard in
            let owner = shard.placement.owner
            facts.withLock {
                $0 = Facts(isKeeper: owner?.node == core.node, isServed: owner?.serves == true, epoch: shard.placement.epoch)
            }
            once.run()
        }
    }

    /// Whether clients are served here now: no word of leaving, a keeper that serves, and a store that takes writes.
    func readiness(_ done: @escaping @Sendable (Health) -> Void) {
        guard !isLeaving.load(ordering: .relaxed) else { return done(Health(["this node takes no clients: they go to the others"])) }
        guard let shard = core.shards.first else { return done(Health(["this node is starting"])) }
        let answer = Answer(done)
        Timeout.after(Self.patience * 2) { answer.give(Health(["the first loop does not answer"])) }
        shard.enter { shard in
            guard let owner = shard.placement.owner else {
                return answer.give(Health(["no node keeps the store: logins and writes wait until one does"]))
            }
            guard owner.serves else { return answer.give(Health(["the node that keeps the store is taking over"])) }
            // On the loop, both of them.
            var nodes: [NodeFacts] = []
            shard.ask(
                NodeQuestion.facts.bytes, part: { nodes.append(NodeFacts($0)) }, done: { _ in answer.give(Self.health(of: nodes)) })
        }
    }

    private static func health(of nodes: [NodeFacts]) -> Health {
        guard let keeper = nodes.first(where: { $0["role"] == .text("keeper") }) else {
            return Health(["the node that keeps the store does not answer"])
        }
        guard keeper["store_state"] == .text("writing") else {
            let reason = if case .text(let text) = keeper["store_reason"] { ": \(text)" } else { "" }
            return Health(["the store takes no writes\(reason)"])
        }
        return Health()
    }

    /// The first answer counts.
    private final class Answer: Sendable {
        private let done: Mutex<(@Sendable (Health) -> Void)?>
        init(_ done: @escaping @Sendable (Health) -> Void) { self.done = Mutex(done) }
        func give(_ health: Health) {
            done.withLock { done in
                defer { done = nil }
                return done
            }?(health)
        }
    }
}
