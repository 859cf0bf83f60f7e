public import Stanzas

/// A part of an answer about sessions.
public struct SessionPart: Sendable {
    public var sessions: [SessionInfo] = []
    /// With the last part of a loop: how many match there, shown or not.
    public var matching: UInt64 = 0

    public init(_ bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        guard !reader.isAtEnd else { return }
        matching = try reader.uint64()
        while !reader.isAtEnd { sessions.append(try SessionInfo(from: &reader)) }
    }
}

/// A walk through the sessions of a loop for an answer: a few of them a turn, so that stanzas pass in between.
final class SessionScan {
    /// Sessions that are looked at in a turn, and those that are told.
    private static let look = 512
    private static let tell = 128

    private let filter: SessionFilter
    private let question: UInt64
    private let asker: ShardAddress
    private var left: ArraySlice<UInt64>
    /// The first of those that match, in order.
    private var best: [(weight: Double, jid: String, id: UInt64)] = []
    private var matching: UInt64 = 0
    private var told = 0

    init(_ filter: SessionFilter, question: UInt64, asker: ShardAddress, of shard: Shard) {
        self.filter = filter
        self.question = question
        self.asker = asker
        left = Array(shard.sessions.keys)[...]
    }

    /// Does one turn's work; false when it is done.
    func step(_ shard: Shard) -> Bool {
        if !left.isEmpty {
            look(at: left.prefix(Self.look), shard)
            left = left.dropFirst(Self.look)
            if !left.isEmpty { return true }
        }
        var writer = ByteWriter()
        let rest = best[told...].prefix(Self.tell)
        told += rest.count
        let isLast = told == best.count
        // Nothing is said where there is nothing.
        if matching > 0 { writer.uint64(isLast ? matching : 0) }
        for one in rest {
            // It may have ended meanwhile.
            guard let session = shard.sessions[one.id], session.bind != nil, session.ended == nil else { continue }
            SessionInfo(session, isDetailed: filter.isDetailed).encode(into: &writer)
        }
        shard.post(.answer(id: question, part: writer.bytes, last: isLast), to: asker)
        return !isLast
    }

    private func look(at ids: ArraySlice<UInt64>, _ shard: Shard) {
        var found: [(weight: Double, jid: String, id: UInt64)] = []
        for id in ids {
            guard let session = shard.sessions[id], session.bind != nil, session.ended == nil, filter.matches(session) else { continue }
            found.append((filter.weight(of: session), session.fullJID.description, id))
        }
        matching += UInt64(found.count)
        guard !found.isEmpty else { return }
        found.sort(by: Self.precedes)
        merge(found)
    }

    private static func precedes(
        _ a: (weight: Double, jid: String, id: UInt64), _ b: (weight: Double, jid: String, id: UInt64)
    ) -> Bool { a.weight == b.weight ? a.jid < b.jid : a.weight > b.weight }

    private func merge(_ found: [(weight: Double, jid: String, id: UInt64)]) {
        let limit = Int(clamping: filter.limit)
        var merged: [(weight: Double, jid: String, id: UInt64)] = []
        merged.reserveCapacity(min(limit, best.count + found.count))
        var (old, new) = (best[...], found[...])
        while merged.count < limit {
            switch (old.first, new.first) {
            case (let a?, let b?): merged.append(Self.precedes(b, a) ? new.removeFirst() : old.removeFirst())
            case (_?, nil): merged.append(old.removeFirst())
            case (nil, _?): merged.append(new.removeFirst())
            case (nil, nil):
                best = merged
                return
            }
        }
        best = merged
    }
}

extension Shard {
    /// Tells who asks of the sessions here, a few a turn.
    func scanSessions(_ filter: SessionFilter, question: UInt64, asker: ShardAddress) {
        guard filter.node == nil || filter.node == core.nodeName else {
            return post(.answer(id: question, part: [], last: true), to: asker)
        }
        goOn(SessionScan(filter, question: question, asker: asker, of: self))
    }

    private func goOn(_ scan: SessionScan) {
        guard scan.step(self) else { return }
        let next = OneLoop(scan)
        enter { $0.goOn(next.value) }
    }
}

/// Something of a loop's that waits for a later turn of the same loop.
private struct OneLoop<T>: @unchecked Sendable {
    // @unchecked: it goes from a loop to itself.
    let value: T
    init(_ value: T) { self.value = value }
}
