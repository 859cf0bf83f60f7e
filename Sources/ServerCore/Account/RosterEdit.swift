import Settings
public import Stanzas
import Store
import XMLStream

/// A change that an administrator makes to one side of a roster; carried to the account's home.
public struct RosterEdit: Sendable, Equatable {
    /// The name of the call; answered with the number of contacts that changed.
    public static let call = "roster.edit"

    public enum Deed: UInt8, Sendable {
        /// Adds the contact, or changes what is given of it.
        case set = 0
        /// Takes it off the roster, with both subscriptions (RFC 6121 §2.5).
        case remove = 1
    }

    public var deed: Deed
    /// A bare JID.
    public var contact: JID
    /// nil: stays as it is.
    public var name: String?
    public var groups: [String]?
    public var subscription: SubscriptionState.Subscription?
    /// Whether the contact's side changes too.
    public var part: Part

    public enum Part: UInt8, Sendable {
        /// This side alone.
        case alone = 0
        /// The side that changes first: it says nothing, because the other does not know yet what it may see.
        case first = 1
        /// The side that changes when the other has: it shows itself, and asks for the other's presence.
        case second = 2
    }

    public init(
        _ deed: Deed, contact: JID, name: String? = nil, groups: [String]? = nil, subscription: SubscriptionState.Subscription? = nil,
        part: Part = .alone
    ) {
        self.deed = deed
        self.contact = contact
        self.name = name
        self.groups = groups
        self.subscription = subscription
        self.part = part
    }

    /// Why the words cannot stand in a roster; nil when they can. The bounds are those of a client's own request (RFC 6121 §2.3.3).
    public var refusal: String? {
        if let name, name.utf8.count > Contact.textBound { return "the name is longer than \(Contact.textBound) bytes" }
        guard let groups else { return nil }
        if groups.count > Contact.groupBound { return "there are more than \(Contact.groupBound) groups" }
        if groups.contains("") { return "a group has no name" }
        if Set(groups).count < groups.count { return "a group stands twice" }
        if groups.contains(where: { $0.utf8.count > Contact.textBound }) { return "a group is longer than \(Contact.textBound) bytes" }
        return nil
    }

    /// The call's argument.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.uint8(deed.rawValue)
        writer.string(contact.description)
        writer.uint8(part.rawValue)
        writer.bool(name != nil)
        writer.string(name ?? "")
        writer.bool(groups != nil)
        writer.count(groups?.count ?? 0)
        for group in groups ?? [] { writer.string(group) }
        writer.string(subscription?.rawValue ?? "")
        return writer.bytes
    }

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        do {
            guard let deed = Deed(rawValue: try reader.uint8()) else { return nil }
            let contact = try JID(try reader.string())
            guard let part = Part(rawValue: try reader.uint8()) else { return nil }
            let hasName = try reader.bool()
            let name = try reader.string()
            let hasGroups = try reader.bool()
            var groups: [String] = []
            for _ in 0..<(try reader.count()) { groups.append(try reader.string()) }
            let subscription = try reader.string()
            self.init(
                deed, contact: contact, name: hasName ? name : nil, groups: hasGroups ? groups : nil,
                subscription: SubscriptionState.Subscription(rawValue: subscription), part: part)
        } catch {
            return nil
        }
    }
}

/// A part of a roster that is sent to the account's sessions once more.
public struct RosterPush: Sendable, Equatable {
    /// The name of the call; the argument is the version after which it goes on, as 8 bytes, and the answer is one of these.
    public static let call = "roster.push"
    /// Contacts of one part.
    static let bound = 200

    public var items: Int
    /// Sessions that asked for the roster, and so get pushes.
    public var sessions: Int
    /// The version to go on after; nil: this was the last part.
    public var next: UInt64?

    /// The call's argument.
    public static func argument(after version: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.uint64(version)
        return writer.bytes
    }

    func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.count(items)
        writer.count(sessions)
        writer.uint64(next ?? 0)
        return writer.bytes
    }

    /// Reads an answer; nil when it is none.
    public init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let items = try? reader.count(), let sessions = try? reader.count(), let next = try? reader.uint64() else { return nil }
        self.init(items: items, sessions: sessions, next: next == 0 ? nil : next)
    }

    init(items: Int, sessions: Int, next: UInt64?) {
        self.items = items
        self.sessions = sessions
        self.next = next
    }
}

extension Account {
    static func registerRosterEdits(in registration: inout Registration) {
        registration.call(RosterEdit.call) { argument, turn, result in
            guard let edit = RosterEdit(argument) else { return result.reply(.failed("the change of the roster cannot be read")) }
            result.reply(turn.account.carryOut(edit))
        }
        registration.call(RosterPush.call) { argument, turn, result in
            var reader = ByteReader(argument)
            guard let version = try? reader.uint64() else { return result.reply(.failed("the version of the roster cannot be read")) }
            result.reply(.value(turn.account.pushRoster(after: version).encode()))
        }
    }

    private func carryOut(_ edit: RosterEdit) -> CommandResult {
        guard !isHost, edit.contact.isBare, edit.contact != jid else { return .failed("\(edit.contact) cannot be a contact of \(jid)") }
        if let refusal = edit.refusal { return .failed(refusal) }
        switch edit.deed {
        case .remove:
            guard let there = roster[edit.contact], there.isListed, !there.isRemoved else { return .done(0) }
            _ = rosterRemove(edit.contact, isRepeat: false)
            return .done(1)
        case .set: return set(edit)
        }
    }

    private func set(_ edit: RosterEdit) -> CommandResult {
        let before = roster[edit.contact] ?? Contact(jid: edit.contact)
        let isNew = !before.isListed || before.isRemoved
        guard !isNew || roster.count < core.settings.limits.rosterItems else {
            return .failed("the roster of \(jid) holds \(core.settings.limits.rosterItems) contacts at most (limits.roster_items)")
        }
        var entry = before
        if let name = edit.name { entry.name = name }
        if let groups = edit.groups { entry.groups = groups }
        if let subscription = edit.subscription { entry.state = before.state.given(subscription) }
        entry.isListed = true
        entry.isRemoved = false
        let isChanged = entry != before
        guard isChanged || edit.part == .second else { return .done(0) }
        // What is taken ends as if the user had ended it, while the contact may still see it (§3.2.2); what is given is there at once.
        let losesFrom = before.state.hasFrom && !entry.state.hasFrom
        if losesFrom, !isBlocked(edit.contact) { sendUnavailable(to: edit.contact) }
        if entry.state.incoming != .requested { forgetRequest(of: edit.contact) }
        if isChanged { store(entry, pushed: true) }
        if losesFrom { route(Stanza(kind: .presence, type: .unsubscribed, from: jid, to: edit.contact), nil) }
        if before.state.hasTo, !entry.state.hasTo {
            route(Stanza(kind: .presence, type: .unsubscribe, from: jid, to: edit.contact), nil)
        }
        if edit.part != .first, !isBlocked(edit.contact) { meet(entry, before: edit.part == .second ? SubscriptionState() : before.state) }
        return .done(isChanged ? 1 : 0)
    }

    /// Presence as it flows where a subscription begins (§3.1.5, §4.3.1).
    private func meet(_ contact: Contact, before: SubscriptionState) {
        if contact.state.hasFrom, !before.hasFrom { sendPresence(to: contact.jid) }
        guard contact.state.hasTo, !before.hasTo else { return }
        for resource in resources where resource.isAvailable {
            route(Stanza(kind: .presence, type: .probe, from: resource.jid, to: contact.jid), nil)
        }
    }

    /// In the order of the versions, so that what a client remembers at the end is the version it has.
    private func pushRoster(after version: UInt64) -> RosterPush {
        let all = roster.changes(after: version)
        let part = all.prefix(RosterPush.bound)
        let interested = resources.filter { $0.flags.contains(.interested) }
        for contact in part { for resource in interested { push(contact, to: resource) } }
        return RosterPush(
            items: part.count { !$0.isRemoved }, sessions: interested.count, next: part.count < all.count ? part.last?.version : nil)
    }
}

extension SubscriptionState {
    /// The state in which exactly this subscription stands. Requests that it does not answer stay.
    func given(_ subscription: Subscription) -> SubscriptionState {
        var state = self
        switch subscription {
        case .to, .both: state.outgoing = .subscribed
        case .none, .from: if outgoing == .subscribed { state.outgoing = .none }
        }
        switch subscription {
        case .from, .both: state.incoming = .subscribed
        case .none, .to: if incoming == .subscribed { state.incoming = .none }
        }
        return state
    }
}
