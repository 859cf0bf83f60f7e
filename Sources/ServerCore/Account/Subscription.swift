public import Stanzas

/// What stands between an account ("the user") and one contact (RFC 6121 §3, Appendix A.1): two one-way subscriptions, each of which is
/// in exactly one phase. The nine states of A.1.1 are these pairs; pre-approval (§3.4) is a phase of its own, as it can only precede a request.
public struct SubscriptionState: Hashable, Sendable {
    /// The user's subscription to the contact's presence.
    public enum Outgoing: UInt8, Hashable, Sendable, CaseIterable {
        case none = 0
        /// Asked for and not answered: "Pending Out".
        case requested = 1
        case subscribed = 2
    }
    /// The contact's subscription to the user's presence.
    public enum Incoming: UInt8, Hashable, Sendable, CaseIterable {
        case none = 0
        /// Asked for and not answered: "Pending In".
        case requested = 1
        case subscribed = 2
        /// A request would be granted at once (§3.4).
        case preApproved = 3
    }
    /// The value of the attribute `subscription` (§2.1.2.5).
    public enum Subscription: String, Hashable, Sendable, CaseIterable {
        case none, to, from, both
    }

    public var outgoing: Outgoing
    public var incoming: Incoming

    public init(outgoing: Outgoing = .none, incoming: Incoming = .none) {
        self.outgoing = outgoing
        self.incoming = incoming
    }

    /// The state as it is kept: outgoing in the low two bits, incoming above.
    public var code: UInt8 { outgoing.rawValue | incoming.rawValue << 2 }

    /// The state that was kept. A code that stands for none grants nothing: it is no subscription at all.
    public init(code: UInt8) {
        guard let outgoing = Outgoing(rawValue: code & 3), let incoming = Incoming(rawValue: code >> 2) else {
            self.init()
            return
        }
        self.init(outgoing: outgoing, incoming: incoming)
    }

    /// The user gets the contact's presence.
    public var hasTo: Bool { outgoing == .subscribed }
    /// The contact gets the user's presence.
    public var hasFrom: Bool { incoming == .subscribed }
    /// `ask='subscribe'` (§2.1.2.2).
    public var pendingOut: Bool { outgoing == .requested }
    public var pendingIn: Bool { incoming == .requested }
    /// `approved='true'` (§2.1.2.1).
    public var preApproved: Bool { incoming == .preApproved }

    public var subscription: Subscription {
        switch (hasTo, hasFrom) {
        case (false, false): .none
        case (true, false): .to
        case (false, true): .from
        case (true, true): .both
        }
    }

    /// Whether the contact must be in the roster. A request nobody answered does not put it there (§3.1.3, A.1.1 no. 3).
    public var needsItem: Bool { outgoing != .none || hasFrom || preApproved }
}

/// What an account does about a subscription stanza. The order of the properties is the order of the doing.
public struct SubscriptionChange: Hashable, Sendable {
    /// The state from now on.
    public var state: SubscriptionState
    /// The state is another than before and must be kept.
    public var isChanged: Bool
    /// What happens to the contact's request, whose whole stanza is kept until it is answered (§3.1.3).
    public var request: Request = .untouched
    /// Inbound: the stanza goes to the user's interested or, for `subscribe`, available sessions, before any push (§3.1.6, §3.2.3, §3.3.3).
    public var delivers = false
    /// Unavailable presence of every available session goes to the contact, while it may still see it (§3.2.2, §3.3.3).
    public var sendsUnavailable = false
    /// Outbound: the stanza goes to the contact, from the user's bare JID.
    public var routes = false
    /// Presence of these types goes to the contact, from the user's bare JID, in this order.
    public var sends: [StanzaType] = []
    /// The roster item changed as clients see it (§2.1.6).
    public var pushes: Bool
    /// The current presence of every available session goes to the contact (§3.1.5).
    public var sendsPresence = false

    public enum Request: Hashable, Sendable {
        case untouched, keep, forget
    }

    fileprivate init(from old: SubscriptionState, to new: SubscriptionState) {
        state = new
        isChanged = new != old
        if new.pendingIn != old.pendingIn { request = new.pendingIn ? .keep : .forget }
        pushes =
            new.subscription != old.subscription || new.pendingOut != old.pendingOut || new.preApproved != old.preApproved
    }
}

extension SubscriptionState {
    /// What happens when the user sends a subscription stanza (A.1.2, §3). nil for a type that is none.
    public func outbound(_ type: StanzaType) -> SubscriptionChange? {
        var new = self
        switch type {
        case .subscribe:  // A.1.2.1
            if outgoing == .none { new.outgoing = .requested }
            return change(to: new) { $0.routes = true }
        case .unsubscribe:  // A.1.2.2
            new.outgoing = .none
            return change(to: new) { $0.routes = true }
        case .subscribed:  // A.1.2.3, §3.4.2
            switch incoming {
            case .requested:
                new.incoming = .subscribed
                return change(to: new) {
                    $0.routes = true
                    $0.sendsPresence = true
                }
            case .none:
                new.incoming = .preApproved
                return change(to: new)
            case .preApproved, .subscribed:
                return change(to: new)
            }
        case .unsubscribed:  // A.1.2.4, §3.2.2
            new.incoming = .none
            // One who only asked never saw that a session is there, and does not learn it from the refusal.
            return change(to: new) {
                $0.routes = pendingIn || hasFrom
                $0.sendsUnavailable = hasFrom
            }
        default:
            return nil
        }
    }

    /// What happens when the contact sends a subscription stanza (A.1.3, §3). nil for a type that is none.
    public func inbound(_ type: StanzaType) -> SubscriptionChange? {
        var new = self
        switch type {
        case .subscribe:  // A.1.3.1
            switch incoming {
            case .none:
                new.incoming = .requested
                return change(to: new) { $0.delivers = true }
            case .preApproved:
                // The approval is used up: a contact that unsubscribes has to ask again (§3.4.2, implementation note).
                new.incoming = .subscribed
                return change(to: new) {
                    $0.sends = [.subscribed]
                    $0.sendsPresence = true
                }
            case .subscribed:
                return change(to: new) { $0.sends = [.subscribed] }
            case .requested:
                return change(to: new)
            }
        case .unsubscribe:  // A.1.3.2
            guard pendingIn || hasFrom else { return change(to: new) }
            new.incoming = .none
            return change(to: new) {
                $0.delivers = true
                $0.sendsUnavailable = hasFrom
                // One whose request nobody answered does not learn by taking it back that somebody got it, as A.1.3.2 would have it.
                $0.sends = hasFrom ? [.unsubscribed] : []
            }
        case .subscribed:  // A.1.3.3
            guard pendingOut else { return change(to: new) }
            new.outgoing = .subscribed
            return change(to: new) { $0.delivers = true }
        case .unsubscribed:  // A.1.3.4
            guard pendingOut || hasTo else { return change(to: new) }
            new.outgoing = .none
            return change(to: new) { $0.delivers = true }
        default:
            return nil
        }
    }

    /// What happens when the user takes the contact off the roster (§2.5.2). The push is one of `subscription='remove'`.
    /// A request in either direction ends as well: it would outlive the item that shows it.
    public func removed() -> SubscriptionChange {
        change(to: SubscriptionState()) {
            $0.sendsUnavailable = hasFrom
            if outgoing != .none { $0.sends.append(.unsubscribe) }
            if hasFrom || pendingIn { $0.sends.append(.unsubscribed) }
            $0.pushes = true
        }
    }

    private func change(to new: SubscriptionState, _ body: (inout SubscriptionChange) -> Void = { _ in }) -> SubscriptionChange {
        var change = SubscriptionChange(from: self, to: new)
        body(&change)
        return change
    }
}
