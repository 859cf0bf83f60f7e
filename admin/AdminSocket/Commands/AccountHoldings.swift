import AdminLanguage
import ServerCore
import Settings
import Stanzas
import Store

/// How much is kept for an account.
struct AccountHoldings: Sendable {
    let account: AccountSnapshot
    private let devices: [DeviceRecord]
    private let vCardBytes: Int
    private let privateBytes: Int
    private let privateItems: Int
    private let archive: (messages: Int, bytes: Int, isAll: Bool)
    private let first: Int64?
    private let last: Int64?

    /// Rows of an archive that are looked at; there are more of one that is larger.
    private static let archiveRows = 200_000

    /// Reads them; nil when there is no such account.
    init?(_ jid: JID, _ rows: AccountRows, in snapshot: any Snapshot) throws(StoreFailure) {
        guard let account = try AccountSnapshot.load(jid: jid.description, from: snapshot, identity: rows.identity) else { return nil }
        self.account = account
        devices = (account.items[.device] ?? [:]).values.compactMap { DeviceRecord($0) }
        vCardBytes = try rows.item(.vcard, "", in: snapshot)?.count ?? 0
        let elements = try rows.items(.privateXML, in: snapshot)
        privateItems = elements.count
        privateBytes = elements.reduce(0) { $0 + $1.value.count }
        archive = try rows.archiveSize(rows: Self.archiveRows, in: snapshot)
        first = try rows.archiveEnd(last: false, in: snapshot)?.stamp
        last = try rows.archiveEnd(last: true, in: snapshot)?.stamp
    }

    func show(_ reply: inout Reply) {
        reply.fact("devices", ReplyValue(devices.count))
        reply.fact("tokens", ReplyValue(devices.reduce(0) { $0 + $1.tokens.count }))
        reply.fact("push_services", ReplyValue(account.items[.push]?.count ?? 0))
        reply.fact("roster_items", ReplyValue(account.roster.count { $0.isListed && !$0.isRemoved }))
        reply.fact("roster_version", ReplyValue(account.account.rosterVersion))
        reply.fact("subscription_requests", ReplyValue(account.pendingIn.count))
        reply.fact("blocked_addresses", ReplyValue(account.items[.blocked]?.count ?? 0))
        reply.fact("messages_owed", ReplyValue(account.owed.count))
        reply.fact("bytes_owed", ReplyValue(account.owed.reduce(0) { $0 + $1.bytes }))
        reply.fact("archive_messages", ReplyValue(archive.messages))
        reply.fact("archive_bytes", ReplyValue(archive.bytes))
        reply.fact("archive_first", first.map { .text(Moment.text($0)) } ?? .none)
        reply.fact("archive_last", last.map { .text(Moment.text($0)) } ?? .none)
        if !archive.isAll { reply.warning("the archive is larger than that: only its first \(Self.archiveRows) rows were counted") }
        reply.fact("vcard_bytes", ReplyValue(vCardBytes))
        reply.fact("private_items", ReplyValue(privateItems))
        reply.fact("private_bytes", ReplyValue(privateBytes))
    }

    /// What the settings let it have; nothing where there is no bound.
    func showBounds(_ settings: Settings, _ reply: inout Reply) {
        func bound(_ key: String, _ value: Int) { reply.fact(key, value > 0 ? ReplyValue(value) : .none) }
        let domain = account.account.jid.split(separator: "@", maxSplits: 1).last.map(String.init)
        let host = settings.hosts.first { $0.domain == domain }
        bound("quota_roster_items", settings.limits.rosterItems)
        bound("quota_messages_owed", settings.offline.messages)
        bound("quota_bytes_owed", settings.offline.bytes)
        bound("quota_archive_days", host.map { $0.archiveDays > 0 ? $0.archiveDays : settings.archive.days } ?? settings.archive.days)
        bound("quota_archive_messages", settings.archive.messages)
        bound("quota_archive_mib", settings.archive.mib)
        bound("quota_vcard_bytes", settings.profile.vCardBytes)
        bound("quota_private_bytes", settings.profile.privateBytes)
        bound("quota_devices", settings.authentication.devicesPerAccount)
    }
}
