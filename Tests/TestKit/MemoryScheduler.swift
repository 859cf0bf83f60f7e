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

    /// Does one thing that could happen now, by chance: a loop's next work, a read, a batch's arrival, a commit. Returns false when
    /// there is none.
    @discardableResult
    public func step(_ chance: inout Chance) -> Bool {
        let loops = nodes.filter(\.isAlive).flatMap { $0.loops }.filter(\.isBusy)
        let links = switchboard.busyLinks
        let commits = volume.statistics.waiting
        let reads = readers.isBusy ? 1 : 0
        let all = loops.count + links + reads + (commits > 0 ? 1 : 0)
        guard all > 0 else { return false }
        let pick = chance.below(all)
        if pick < loops.count {
            _ = loops[pick].runOne()
        } else if pick < loops.count + links {
            switchboard.deliver(pick - loops.count)
        } else if pick < loops.count + links + reads {
            _ = readers.runOne()
        } else {
            volume.releaseCommits(1 + chance.below(3))
        }
        return true
    }

    /// Kills a node in the midst of things: part of what it sent arrives, and of what it asked the store for part is done.
    public func killUnruly(_ index: Int, _ chance: inout Chance) {
        if index == keeper {
            volume.releaseCommits(chance.below(4))
            volume.dropCommits()
        }
        kill(index, arrives: chance.below(4))
    }
}
