import Settings
public import Stanzas
import Store
import Telemetry
import XMLStream

/// What is asked of an archive (XEP-0313 §4).
public struct ArchiveQuery: Sendable {
    /// Only messages from or to this address; a bare one stands for all its resources (§4.1.1).
    public var with: JID?
    /// µs since 1970, inclusive (§4.1.2).
    public var start: Int64?
    public var end: Int64?
    /// Ids between which the messages stand, exclusive (§4.1.3).
    public var beforeID: String?
    public var afterID: String?
    /// These messages alone.
    public var ids: [String]?
    /// Which part of what matches (XEP-0059).
    public var page = ResultSet.Request()
    /// Sends the page in reverse order (§4.3.4).
    public var isFlipped = false
    /// Repeated in every result.
    public var queryID: String?

    public init() {}
}

/// What ends a page (§4.3.2).
public struct ArchiveEnd: Sendable, Equatable {
    /// Whether nothing that matches lies beyond the page.
    public var isComplete: Bool
    public var page: ResultSet.Page
}

/// A page in the making. It is read in slices, each in a snapshot of its own, so that none is held for long; what is behind the page
/// does not change between them.
struct ArchivePage: Sendable {
    /// Rows that are looked at in one snapshot.
    static let slice = 8_192
    /// Bytes at which a page ends.
    static let byteBound = 524_288

    private enum Phase {
        /// The ids are not resolved yet.
        case new
        /// Goes on with this sequence.
        case at(UInt64)
        case done
    }

    let query: ArchiveQuery
    private let account: JID
    private let ids: ArchiveIDs
    private let limit: Int
    private let slice: Int
    private let isBackward: Bool
    private var phase = Phase.new
    private var range: ClosedRange<UInt64> = 0...UInt64.max
    /// The sequences of `query.ids`, ascending.
    private var chosen: [UInt64]?
    private var results: [(sequence: UInt64, payload: [UInt8])] = []
    private var bytes = 0
    private var hasMore = false
    private var counted = 0
    private(set) var damaged = 0
    /// Why the query is refused.
    private(set) var refusal: StanzaError?

    /// - Parameter limit: messages at most, whatever the query says.
    init(_ query: ArchiveQuery, account: JID, ids: ArchiveIDs, limit: Int, slice: Int = Self.slice) {
        self.slice = slice
        self.query = query
        self.account = account
        self.ids = ids
        self.limit = min(query.page.max ?? limit, limit)
        // Where only the number is asked for the way does not matter.
        isBackward = query.page.before != nil && query.page.max != 0
    }

    var isDone: Bool { if case .done = phase { true } else { false } }

    /// Only the number of messages is asked for (XEP-0059 §2.7).
    private var countsOnly: Bool { query.page.max == 0 }

    // MARK: Reading, on a reader thread

    /// Reads on for one slice.
    mutating func advance(in snapshot: any Snapshot, _ rows: AccountRows) throws(StoreFailure) {
        if case .new = phase {
            guard try resolve(in: snapshot, rows) else {
                phase = .done
                return
            }
        }
        guard case .at(let position) = phase else { return }
        if let chosen { return try advance(chosen, in: snapshot, rows) }
        if countsOnly, query.with?.resource == nil {
            let slice = try rows.countArchive(position...range.upperBound, peer: peer(rows), rows: slice, in: snapshot)
            counted += slice.count
            phase = slice.next.map { .at($0) } ?? .done
            return
        }
        let rest = isBackward ? range.lowerBound...position : position...range.upperBound
        let scan = try rows.scanArchive(rest, peer: peer(rows), reverse: isBackward, rows: slice, in: snapshot) { message in
            take(message)
        }
        damaged += scan.damaged.count
        phase = scan.next.map { .at($0) } ?? .done
    }

    /// The messages of `query.ids`; there are never more than fit in a slice.
    private mutating func advance(_ chosen: [UInt64], in snapshot: any Snapshot, _ rows: AccountRows) throws(StoreFailure) {
        phase = .done
        for sequence in isBackward ? chosen.reversed() : chosen where range.contains(sequence) {
            var goesOn = true
            let scan = try rows.scanArchive(sequence...sequence, peer: peer(rows), reverse: false, rows: 1, in: snapshot) { message in
                goesOn = take(message)
                return goesOn
            }
            damaged += scan.damaged.count
            if !goesOn { return }
        }
    }

    /// Turns ids and times into sequences. False: the query is refused, or nothing can match.
    private mutating func resolve(in snapshot: any Snapshot, _ rows: AccountRows) throws(StoreFailure) -> Bool {
        var lower: UInt64 = 0
        var upper = UInt64.max
        if let start = query.start { lower = max(lower, UInt64(max(0, start))) }
        if let end = query.end {
            guard end >= 0 else { return false }
            upper = min(upper, UInt64(end))
        }
        for id in [query.afterID, query.page.after] {
            guard let id else { continue }
            guard let sequence = try find(id, in: snapshot, rows), sequence < .max else { return false }
            lower = max(lower, sequence + 1)
        }
        for id in [query.beforeID, query.page.before] {
            guard let id, id != query.page.before || !id.isEmpty else { continue }
            guard let sequence = try find(id, in: snapshot, rows), sequence > 0 else { return false }
            upper = min(upper, sequence - 1)
        }
        if let wanted = query.ids {
            var sequences: Set<UInt64> = []
            for id in wanted {
                guard let sequence = try find(id, in: snapshot, rows) else { return false }
                sequences.insert(sequence)
            }
            chosen = sequences.sorted()
        }
        guard lower <= upper else { return false }
        range = lower...upper
        phase = .at(isBackward ? upper : lower)
        return true
    }

    /// The sequence of an id that must be in the archive (§4.1.3, §4.3.2).
    private mutating func find(_ id: String, in snapshot: any Snapshot, _ rows: AccountRows) throws(StoreFailure) -> UInt64? {
        if let sequence = ids.sequence(id), try rows.isArchived(sequence, in: snapshot) { return sequence }
        refusal = StanzaError(.itemNotFound, text: "The archive has no message with the id \(id)")
        return nil
    }

    private func peer(_ rows: AccountRows) -> UInt64? {
        guard let with = query.with else { return nil }
        // One of the account's own resources took part in conversations with anybody.
        if with.bare == account, with.resource != nil { return nil }
        return rows.peer(with.bare.description)
    }

    /// Takes a message into the page. Returns false when the page is full.
    private mutating func take(_ message: ArchivedMessage) -> Bool {
        if let with = query.with, !message.stanza.involves(with, account: account) { return true }
        if countsOnly {
            counted += 1
            return true
        }
        guard results.count < limit, bytes < Self.byteBound else {
            hasMore = true
            return false
        }
        let payload = encode(message)
        bytes += payload.count
        results.append((message.sequence, payload))
        return true
    }

    /// `<result/>` around the stored stanza, whose bytes are not parsed again.
    private func encode(_ message: ArchivedMessage) -> [UInt8] {
        var xml = XMLWriter()
        xml.bytes.reserveCapacity(message.stanza.payload.count + 512)
        xml.start("result", xmlns: NS.archive, ("queryid", query.queryID), ("id", ids.id(message.sequence)))
        xml.start("forwarded", xmlns: NS.forward)
        Delay(stamp: DateTime(microseconds: message.stamp)).write(into: &xml)
        message.stanza.write(into: &xml.bytes, xmlns: NS.client)
        xml.raw("</forwarded></result>")
        return xml.bytes
    }

    // MARK: Answering, on the account's loop

    /// The payloads of the result messages, in the order in which they are sent.
    var payloads: [[UInt8]] { (isBackward == query.isFlipped ? results : results.reversed()).map(\.payload) }

    var end: ArchiveEnd {
        if countsOnly { return ArchiveEnd(isComplete: counted == 0, page: ResultSet.Page(count: counted)) }
        let ordered = isBackward ? results.reversed() : results
        // Position and number are known where they cost nothing: when the page begins or is the whole set.
        let startsSet = isBackward ? !hasMore : query.page.after == nil
        let endsSet = isBackward ? query.page.before?.isEmpty == true && query.page.after == nil : !hasMore
        return ArchiveEnd(
            isComplete: !hasMore,
            page: ResultSet.Page(
                first: ordered.first.map { ids.id($0.sequence) }, firstIndex: startsSet && query.page.after == nil ? 0 : nil,
                last: ordered.last.map { ids.id($0.sequence) },
                count: startsSet && endsSet && query.page.after == nil ? results.count : nil))
    }
}

extension EncodedStanza {
    /// Whether a message is from or to an address: a bare one stands for all its resources, but for the account itself, where both ends
    /// must be it (§4.1.1).
    fileprivate func involves(_ jid: JID, account: JID) -> Bool {
        let text = Array(jid.description.utf8)
        let isBare = jid.resource == nil
        func matches(_ field: UnsafeRawBufferPointer?) -> Bool {
            guard let field, field.count >= text.count, field.starts(with: text) else { return false }
            return field.count == text.count || isBare && field[text.count] == UInt8(ascii: "/")
        }
        return isBare && jid == account ? matches(from) && matches(to) : matches(from) || matches(to)
    }
}

extension Account {
    /// Sends a page of the account's archive to one of its sessions, message by message, behind everything said before; then `then` is
    /// called once on this loop, or never, as `read`.
    public func sendArchivePage(
        _ query: ArchiveQuery, to session: JID, then: @escaping (Result<ArchiveEnd, StanzaError>) -> Void
    ) {
        let page = ArchivePage(query, account: jid, ids: archiveIDs, limit: core.settings.archive.page)
        afterRetractions { [unowned self] in continueArchivePage(page, to: session, then: then) }
    }

    private func continueArchivePage(
        _ page: ArchivePage, to session: JID, then: @escaping (Result<ArchiveEnd, StanzaError>) -> Void
    ) {
        read({ (snapshot, rows) throws(StoreFailure) in
            var page = page
            try page.advance(in: snapshot, rows)
            return page
        }) { [unowned self] result in
            guard case .success(let page) = result else {
                return then(.failure(StanzaError(.resourceConstraint, type: .wait, text: "The archive cannot be read at the moment")))
            }
            guard page.isDone else { return continueArchivePage(page, to: session, then: then) }
            if page.damaged > 0 { core.metrics.damagedRecords.increment(by: UInt64(page.damaged)) }
            if let refusal = page.refusal { return then(.failure(refusal)) }
            core.metrics.archivePages.increment()
            let resource = resource(jid: session)
            for payload in page.payloads {
                let message = Stanza(
                    kind: .message, type: .normal, from: jid, to: session, payload: Payload(written: payload, as: .archiveResult))
                deliver(message, to: resource)
            }
            then(.success(page.end))
        }
    }

    /// The first and the last message of the archive, with id and stamp (§5); nil when it is empty.
    public func readArchiveEnds(then: @escaping (Result<ArchiveEnds?, StanzaError>) -> Void) {
        let ids = archiveIDs
        read({ (snapshot, rows) throws(StoreFailure) -> ArchiveEnds? in
            guard let first = try rows.archiveEnd(last: false, in: snapshot), let last = try rows.archiveEnd(last: true, in: snapshot)
            else {
                return nil
            }
            return ArchiveEnds(
                first: .init(id: ids.id(first.sequence), stamp: first.stamp), last: .init(id: ids.id(last.sequence), stamp: last.stamp))
        }) { result in
            switch result {
            case .success(let ends): then(.success(ends))
            case .failure: then(.failure(StanzaError(.resourceConstraint, type: .wait, text: "The archive cannot be read at the moment")))
            }
        }
    }
}
