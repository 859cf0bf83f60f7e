public import Stanzas

/// An account of this server. Table `account`.
public struct AccountRecord: Record, Equatable {
    public static let version: UInt8 = 1

    /// The prepared bare JID.
    public var jid: String
    /// Its number in the keys of its rows: never reused.
    public var number: UInt64
    /// µs since 1970, UTC.
    public var created: Int64
    /// Why the account may not log in; nil: it may.
    public var disabledReason: String?
    /// Since when, in µs since 1970, UTC; nil while it may.
    public var disabledSince: Int64?
    /// Stored credentials, opaque to the store.
    public var credentials: [UInt8]
    /// The version of the roster (RFC 6121 §2.6): rises with every change of an item.
    public var rosterVersion: UInt64
    /// When the last session became unavailable, in µs since 1970 (XEP-0012 §3); nil: never.
    public var lastUnavailable: Int64?
    /// The status text of that unavailable presence.
    public var lastStatus: String?
    /// No message of the account has a sequence above this unless its row exists or its inbox says so.
    public var sequenceFloor: UInt64
    /// The administrator's command that wrote the record last: a command that is repeated is known by it. 0: none.
    public var lastCommand: UInt64
    /// Random: what the ids of its archived messages are made with, so that they tell nothing (XEP-0359 §6).
    public var archiveKey: UInt64

    public init(
        jid: String, number: UInt64, created: Int64, credentials: [UInt8], lastCommand: UInt64 = 0, disabledReason: String? = nil,
        disabledSince: Int64? = nil, rosterVersion: UInt64 = 0, lastUnavailable: Int64? = nil, lastStatus: String? = nil,
        sequenceFloor: UInt64 = 0,
        archiveKey: UInt64 = 0
    ) {
        self.jid = jid
        self.number = number
        self.created = created
        self.disabledReason = disabledReason
        self.disabledSince = disabledSince
        self.credentials = credentials
        self.rosterVersion = rosterVersion
        self.lastUnavailable = lastUnavailable
        self.lastStatus = lastStatus
        self.sequenceFloor = sequenceFloor
        self.lastCommand = lastCommand
        self.archiveKey = archiveKey
    }

    public var isEnabled: Bool { disabledReason == nil }

    public func write(into writer: inout ByteWriter) {
        writer.string(jid)
        writer.uint64(number)
        writer.int64(created)
        writer.optional(disabledReason)
        writer.optional(disabledSince)
        writer.bytes(credentials)
        writer.uint64(rosterVersion)
        writer.optional(lastUnavailable)
        writer.optional(lastStatus)
        writer.uint64(sequenceFloor)
        writer.uint64(lastCommand)
        writer.uint64(archiveKey)
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        jid = try reader.string()
        number = try reader.uint64()
        created = try reader.int64()
        disabledReason = try reader.optionalString()
        disabledSince = try reader.optionalInt64()
        credentials = try reader.bytes()
        rosterVersion = try reader.uint64()
        lastUnavailable = try reader.optionalInt64()
        lastStatus = try reader.optionalString()
        sequenceFloor = try reader.uint64()
        lastCommand = try reader.uint64()
        archiveKey = try reader.uint64()
    }
}

extension AccountRecord {
    /// Steps between the eras of a roster: its version begins anew, above everything that was ever told, when its store is restored.
    private static let era: UInt64 = 1 << 32

    /// The account after its store went back in time. Clients may have seen roster versions of what is lost: none is given a second time,
    /// and versions of another era are answered with the whole roster. Numbers of messages come from the clock, and so never come again.
    public func inNewEra() -> AccountRecord {
        var record = self
        record.rosterVersion = (rosterVersion / Self.era &+ 1) &* Self.era
        return record
    }

    /// Whether changes between two roster versions are all known: no restore lies between them.
    public static func isSameEra(_ one: UInt64, _ other: UInt64) -> Bool { one / era == other / era }
}

extension AccountRecord: CustomStringConvertible {
    /// Without the credentials.
    public var description: String { "AccountRecord(\(jid), number \(number), \(isEnabled ? "enabled" : "disabled"))" }
}

extension AccountRecord: CustomDebugStringConvertible, CustomReflectable {
    public var debugDescription: String { description }
    /// Without the credentials.
    public var customMirror: Mirror { Mirror(self, children: ["jid": jid, "number": number]) }
}

/// A contact of an account, or the memory of a removed one. Table `roster`.
public struct RosterItemRecord: Record, Equatable {
    public static let version: UInt8 = 1

    /// The contact's prepared JID.
    public var jid: String
    public var name: String
    public var groups: [String]
    /// State of both subscriptions (RFC 6121 §3, Appendix A), in the server's code for it; opaque to the store.
    public var state: UInt8
    /// The roster version at which the item last changed.
    public var version: UInt64
    /// Removed: kept so that a client that was away can be told (RFC 6121 §2.6).
    public var isRemoved: Bool
    /// Whether clients see it in the roster.
    public var isListed: Bool

    public init(jid: String, name: String, groups: [String], state: UInt8, version: UInt64, isRemoved: Bool, isListed: Bool) {
        self.jid = jid
        self.name = name
        self.groups = groups
        self.state = state
        self.version = version
        self.isRemoved = isRemoved
        self.isListed = isListed
    }

    public func write(into writer: inout ByteWriter) {
        writer.string(jid)
        writer.string(name)
        writer.strings(groups)
        writer.uint8(state)
        writer.uint64(version)
        writer.uint8((isRemoved ? 1 : 0) | (isListed ? 2 : 0))
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        jid = try reader.string()
        name = try reader.string()
        groups = try reader.strings()
        state = try reader.uint8()
        self.version = try reader.uint64()
        let flags = try reader.uint8()
        guard flags <= 3 else { throw FieldError() }
        isRemoved = flags & 1 != 0
        isListed = flags & 2 != 0
    }
}

/// A subscription request that the account has not answered (RFC 6121 §3.1.3). Table `pendingIn`.
public struct PendingInRecord: Record, Equatable {
    public static let version: UInt8 = 1

    /// The prepared bare JID that asks.
    public var jid: String
    /// When it came, µs since 1970, UTC.
    public var stamp: Int64
    /// The request as it came, in the stanza codec.
    public var stanza: [UInt8]

    public init(jid: String, stamp: Int64, stanza: [UInt8]) {
        self.jid = jid
        self.stamp = stamp
        self.stanza = stanza
    }

    public func write(into writer: inout ByteWriter) {
        writer.string(jid)
        writer.int64(stamp)
        writer.bytes(stanza)
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        jid = try reader.string()
        stamp = try reader.int64()
        stanza = try reader.bytes()
    }
}

/// A deleted account whose rows are still to be purged. Table `tombstone`.
public struct TombstoneRecord: Record, Equatable {
    public static let version: UInt8 = 1

    public var jid: String
    public var number: UInt64
    /// µs since 1970, UTC.
    public var deleted: Int64

    public init(jid: String, number: UInt64, deleted: Int64) {
        self.jid = jid
        self.number = number
        self.deleted = deleted
    }

    public func write(into writer: inout ByteWriter) {
        writer.string(jid)
        writer.uint64(number)
        writer.int64(deleted)
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        jid = try reader.string()
        number = try reader.uint64()
        deleted = try reader.int64()
    }

    public func fits(_ key: UnsafeRawBufferPointer) -> Bool { Keys.account(ofKey: key) == number }
}

/// A session that exists, so that a new keeper knows of those that died with their node. Table `sessionRow`.
public struct SessionRow: Record, Equatable {
    public static let version: UInt8 = 1

    /// The prepared bare JID.
    public var account: String
    /// The session's number in the key of this row, different for the sessions of different nodes.
    public var session: UInt64
    /// The incarnation of its node.
    public var node: UInt64
    public var resource: String
    /// Addresses that got directed presence and must hear of its end (RFC 6121 §4.6.3).
    public var directed: [String]

    public init(account: String, session: UInt64, node: UInt64, resource: String, directed: [String]) {
        self.account = account
        self.session = session
        self.node = node
        self.resource = resource
        self.directed = directed
    }

    public func write(into writer: inout ByteWriter) {
        writer.string(account)
        writer.uint64(session)
        writer.uint64(node)
        writer.string(resource)
        writer.strings(directed)
    }

    public init(from reader: inout ByteReader, version: UInt8) throws {
        account = try reader.string()
        session = try reader.uint64()
        node = try reader.uint64()
        resource = try reader.string()
        directed = try reader.strings()
    }

    public func fits(_ key: UnsafeRawBufferPointer) -> Bool { Keys.number(of: .sessionRow, in: key) == session }
}
