import XMLStream

/// What a top-level child of a stanza is, as far as the server cares. The numbers travel and are stored: never change one, append new ones.
public enum ChildKind: UInt8, Sendable, CaseIterable {
    /// Anything not listed.
    case other = 0
    case body = 1
    case subject = 2
    case thread = 3
    /// `<error/>` of the stanza itself (RFC 6120 §8.3).
    case error = 4
    /// XEP-0334.
    case noStore = 5
    case noPermanentStore = 6
    case noCopy = 7
    case store = 8
    /// XEP-0280 `<private/>`.
    case `private` = 9
    /// XEP-0280 `<sent/>` or `<received/>`.
    case carbon = 10
    /// XEP-0359.
    case originID = 11
    case stanzaID = 12
    /// XEP-0203, and the older XEP-0091 form.
    case delay = 13
    /// XEP-0184 `<request/>`.
    case receiptRequest = 14
    /// XEP-0184 `<received/>`.
    case receipt = 15
    /// XEP-0333 `<markable/>`.
    case markable = 16
    /// XEP-0333 `<received/>`, `<displayed/>`, `<acknowledged/>`.
    case marker = 17
    /// XEP-0085.
    case chatState = 18
    /// An end-to-end encrypted payload (XEP-0384 of both namespaces, XEP-0373, XEP-0027, XEP-0380's mark).
    case encrypted = 19
    /// XEP-0424 `<retract/>`.
    case retraction = 20
    /// XEP-0425 `<moderate/>` or `<moderated/>`.
    case moderation = 21
    /// XEP-0308 `<replace/>`.
    case replacement = 22
    /// XEP-0444 `<reactions/>`.
    case reactions = 23
    /// XEP-0461 `<reply/>`.
    case reply = 24
    /// XEP-0045 `<x/>` of a user: status codes, mediated invitations.
    case roomUser = 25
    /// XEP-0045 `<x/>` of somebody who wants to join.
    case roomJoin = 26
    /// XEP-0249 `<x/>`.
    case directInvitation = 27
    /// XEP-0060 `<event/>`.
    case event = 28
    /// XEP-0313 `<result/>` and `<fin/>`.
    case archiveResult = 29
    /// XEP-0353 call announcements.
    case jingleMessage = 30
    /// XEP-0115 `<c/>`.
    case capabilities = 31
    case show = 32
    case status = 33
    case priority = 34
    /// XEP-0153.
    case photo = 35
    /// XEP-0172.
    case nick = 36
    /// XEP-0066.
    case outOfBand = 37
    /// XEP-0071.
    case html = 38
    /// XEP-0224.
    case attention = 39
    /// XEP-0033.
    case addresses = 40
    /// XEP-0297 `<forwarded/>`.
    case forwarded = 41
    /// XEP-0319 `<idle/>`.
    case idle = 42

    public var mask: PayloadMask { PayloadMask(rawValue: 1 << UInt64(rawValue)) }
}

/// The set of child kinds in a payload.
public struct PayloadMask: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let other = ChildKind.other.mask
    public static let body = ChildKind.body.mask
    public static let subject = ChildKind.subject.mask
    public static let thread = ChildKind.thread.mask
    public static let error = ChildKind.error.mask
    public static let noStore = ChildKind.noStore.mask
    public static let noPermanentStore = ChildKind.noPermanentStore.mask
    public static let noCopy = ChildKind.noCopy.mask
    public static let store = ChildKind.store.mask
    public static let `private` = ChildKind.private.mask
    public static let carbon = ChildKind.carbon.mask
    public static let originID = ChildKind.originID.mask
    public static let stanzaID = ChildKind.stanzaID.mask
    public static let delay = ChildKind.delay.mask
    public static let receiptRequest = ChildKind.receiptRequest.mask
    public static let receipt = ChildKind.receipt.mask
    public static let markable = ChildKind.markable.mask
    public static let marker = ChildKind.marker.mask
    public static let chatState = ChildKind.chatState.mask
    public static let encrypted = ChildKind.encrypted.mask
    public static let retraction = ChildKind.retraction.mask
    public static let moderation = ChildKind.moderation.mask
    public static let replacement = ChildKind.replacement.mask
    public static let reactions = ChildKind.reactions.mask
    public static let reply = ChildKind.reply.mask
    public static let roomUser = ChildKind.roomUser.mask
    public static let roomJoin = ChildKind.roomJoin.mask
    public static let directInvitation = ChildKind.directInvitation.mask
    public static let event = ChildKind.event.mask
    public static let archiveResult = ChildKind.archiveResult.mask
    public static let jingleMessage = ChildKind.jingleMessage.mask
    public static let capabilities = ChildKind.capabilities.mask
    public static let show = ChildKind.show.mask
    public static let status = ChildKind.status.mask
    public static let priority = ChildKind.priority.mask
    public static let photo = ChildKind.photo.mask
    public static let nick = ChildKind.nick.mask
    public static let outOfBand = ChildKind.outOfBand.mask
    public static let html = ChildKind.html.mask
    public static let attention = ChildKind.attention.mask
    public static let addresses = ChildKind.addresses.mask
    public static let forwarded = ChildKind.forwarded.mask
    public static let idle = ChildKind.idle.mask
}

/// One top-level child: what it is, and where it stands in `Payload.bytes`.
public struct ChildFact: Hashable, Sendable {
    public var kind: ChildKind
    private var start: UInt32
    private var end: UInt32

    /// Offsets beyond 4 GiB cannot occur in a stanza and are clamped.
    public init(kind: ChildKind, range: Range<Int>) {
        self.kind = kind
        start = UInt32(clamping: range.lowerBound)
        end = UInt32(clamping: range.upperBound)
    }

    public var range: Range<Int> { Int(start)..<Int(end) }

    func moved(by offset: Int) -> ChildFact {
        ChildFact(kind: kind, range: range.lowerBound + offset..<range.upperBound + offset)
    }
}

/// What the server needs to know of a payload without looking into it; computed once, where the stanza was parsed.
public struct Facts: Hashable, Sendable {
    /// Which kinds of children there are.
    public private(set) var mask: PayloadMask = []
    /// All top-level children in order; their ranges do not overlap.
    public private(set) var children: [ChildFact] = []

    public init() {}

    public init(_ children: [ChildFact]) {
        self.children = children
        for child in children { mask.insert(child.kind.mask) }
    }

    mutating func reserve(_ count: Int) { children.reserveCapacity(count) }

    mutating func append(_ child: ChildFact) {
        children.append(child)
        mask.insert(child.kind.mask)
    }

    /// The first child of a kind, or nil. Costs nothing when there is none.
    public func first(_ kind: ChildKind) -> ChildFact? {
        guard mask.contains(kind.mask) else { return nil }
        return children.first { $0.kind == kind }
    }
}
