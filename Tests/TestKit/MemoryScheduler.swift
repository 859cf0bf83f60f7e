import Store

/// Chance from a seed: the same in every run.
public struct Chance: RandomNumberGenerator, Sendable {
    private var state: UInt64
    public init(seed: UInt64) { state = seed }

    /// SplitMix64.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    public mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<max(1, bound), using: &self) }
    public mutating func one(in many: Int) -> Bool { below(many) == 0 }
}

extension MemoryCluster {
    /// While true, commits, reads and what nodes send each other wait for `step` to pick them.
    public var isUnruly: Bool {
        get { switchboard.delays }
        set {
            switchboard.delays = newValue
            volume.holdsCommits = newValue
            if !newValue { volume.releaseCommits() }
        }
    }

    /// Does one thing that could happen now, by chance: a loop's next work, a read, a batch's arrival, a commit, the news of a death.
    /// Returns false when there is none.
    @discardableResult
    public func step(_ chance: inout Chance) -> Bool {
        let loops = nodes.filter { $0.isAlive && !$0.isHung }.flatMap { $0.loops }.filter(\.isBusy)
        let links = switchboard.busyLinks
        // The threads of a keeper stand still with it.
        let commits = nodes[keeper].isHung ? 0 : volume.statistics.waiting
        let reads = readers.isBusy ? 1 : 0
        let heard = news.indices.filter { index in
            !nodes[news[index].to].isHung && !news[..<index].contains { $0.to == news[index].to }
        }
        let all = loops.count + links + reads + heard.count + (commits > 0 ? 1 : 0)
        guard all > 0 else { return false }
        var pick = chance.below(all)
        if pick < loops.count {
            _ = loops[pick].runOne()
            return true
        }
        pick -= loops.count
        if pick < links {
            switchboard.deliver(pick)
            return true
        }
        pick -= links
        if pick < heard.count {
            tellNews(heard[pick])
        } else if pick < heard.count + reads {
            _ = readers.runOne()
        } else {
            volume.releaseCommits(1 + chance.below(3))
        }
        return true
    }

    /// Kills a node in the midst of things: part of what it sent arrives, and of what it asked the store for part is done. The others
    /// hear of it one by one.
    public func killUnruly(_ index: Int, _ chance: inout Chance) {
        if index == keeper {
            volume.releaseCommits(chance.below(4))
            volume.dropCommits()
        }
        kill(index, arrives: chance.below(4), isToldLater: true)
    }

    /// Nothing arrives between two nodes until `releaseLinks`, and then everything, in order: a link that was cut and stands again.
    public func holdLink(_ one: Int, _ other: Int) { switchboard.hold(nodes[one].id, nodes[other].id) }
    public func releaseLinks() { switchboard.releaseAll() }
}
