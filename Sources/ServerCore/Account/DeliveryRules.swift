public import Stanzas

/// Who gets a stanza that is addressed to an account (RFC 6121 §8.5), by nothing but its header and the account's sessions.
///
/// Where the RFC leaves a choice: messages that nobody can take now are stored rather than refused (O of "O/E"), refused rather than
/// ignored (E of "S/E"; what was accepted from a client is delivered, kept or bounced), and "most available" are all sessions that share
/// the highest priority; the others have carbons. A headline is for the moment: where it may be ignored, it is.
public enum DeliveryRules {
    /// A session as the rules see it.
    public struct Candidate: Hashable, Sendable {
        /// The resourcepart.
        public var resource: String
        /// The priority of its presence (RFC 6121 §4.7.2.3); nil when it is connected and not available.
        public var priority: Int8?

        public init(resource: String, priority: Int8?) {
            self.resource = resource
            self.priority = priority
        }

        init(_ resource: Resource) {
            self.init(resource: resource.name, priority: resource.isAvailable ? resource.priority : nil)
        }
    }

    /// What becomes of the stanza.
    public enum Choice: Hashable, Sendable {
        /// To the sessions at these indexes, never none. The stanza's `to` stays as it is (§8.5.2.1.1).
        case sessions([Int])
        /// Into offline storage, if it is worth it (XEP-0160).
        case offline
        /// An error to the sender.
        case refuse(StanzaError.Condition)
        /// Nobody hears of it.
        case drop
    }

    /// What becomes of any stanza for an account of this server; nil when the account acts on it itself: requests to a bare JID,
    /// subscriptions (§3), probes (§4.3.2; one for an account that does not exist is answered with `unsubscribed`).
    ///
    /// - Parameters:
    ///   - resource: the resourcepart of the address, nil for a bare JID.
    ///   - exists: whether the account does.
    ///   - hasPayload: false for a message nobody misses, e.g. a chat state alone: it is dropped where another would be refused.
    ///   - senderSeesPresence: the sender has a subscription to the account's presence, got directed presence from the addressed session,
    ///     or is the account itself (§8.1, §8.5.3.1).
    public static func choose<Sessions: RandomAccessCollection>(
        kind: StanzaKind, type: StanzaType, resource: String?, exists: Bool, hasPayload: Bool = true, senderSeesPresence: Bool,
        sessions: Sessions
    ) -> Choice?
    where Sessions.Element == Candidate, Sessions.Index == Int {
        guard exists else { return chooseForNobody(kind: kind, type: type, hasPayload: hasPayload) }
        switch kind {
        case .message: return choose(type: type, resource: resource, hasPayload: hasPayload, sessions: sessions)
        case .presence: return choosePresence(type: type, resource: resource, sessions: sessions)
        case .iq: return chooseIQ(type: type, resource: resource, senderSeesPresence: senderSeesPresence, sessions: sessions)
        }
    }

    /// What becomes of a message: the table of §8.5.4.
    public static func choose<Sessions: RandomAccessCollection>(
        type: StanzaType, resource: String?, hasPayload: Bool, sessions: Sessions
    ) -> Choice where Sessions.Element == Candidate, Sessions.Index == Int {
        if let resource, let match = sessions.firstIndex(where: { $0.resource == resource }) { return .sessions([match]) }  // §8.5.3.1
        switch type {
        case .error: return .drop
        case .groupchat: return refuse(hasPayload)
        case .headline:
            let all = resource == nil ? nonNegative(sessions) : []
            return all.isEmpty ? .drop : .sessions(all)
        case .chat:
            // §8.5.3.2.1: to a resource that is gone as if to the bare JID.
            let best = mostAvailable(sessions)
            return best.isEmpty ? .offline : .sessions(best)
        default:
            guard resource == nil else { return refuse(hasPayload) }
            let best = mostAvailable(sessions)
            return best.isEmpty ? .offline : .sessions(best)
        }
    }

    /// What becomes of presence (§8.5.2.1.2, §8.5.2.2.2, §8.5.3). One of type error goes the way of available presence;
    /// nil for subscriptions and probes.
    public static func choosePresence<Sessions: RandomAccessCollection>(
        type: StanzaType, resource: String?, sessions: Sessions
    ) -> Choice? where Sessions.Element == Candidate, Sessions.Index == Int {
        switch type {
        case .probe, .subscribe: return nil
        case .subscribed, .unsubscribe, .unsubscribed:
            // §8.5.3.2.2: to a resource that is gone, ignored; else §3 sees the bare JID.
            guard let resource, !sessions.contains(where: { $0.resource == resource }) else { return nil }
            return .drop
        default:
            let chosen =
                if let resource {
                    sessions.indices.filter { sessions[$0].resource == resource }
                } else {
                    sessions.indices.filter { sessions[$0].priority != nil }
                }
            return chosen.isEmpty ? .drop : .sessions(chosen)
        }
    }

    /// What becomes of an IQ (§8.5.2.1.3, §8.5.3.1, §8.5.3.2.3). An answer is never answered (RFC 6120 §8.2.3);
    /// nil when the account answers for its user.
    public static func chooseIQ<Sessions: RandomAccessCollection>(
        type: StanzaType, resource: String?, senderSeesPresence: Bool, sessions: Sessions
    ) -> Choice? where Sessions.Element == Candidate, Sessions.Index == Int {
        guard let resource else { return nil }
        let isRequest = type != .result && type != .error
        guard let match = sessions.firstIndex(where: { $0.resource == resource }) else {
            return isRequest ? .refuse(.serviceUnavailable) : .drop
        }
        // To one who may not see the account's presence, a session that is there looks like one that is not.
        return isRequest && !senderSeesPresence ? .refuse(.serviceUnavailable) : .sessions([match])
    }

    /// What becomes of a stanza for an account that does not exist (§8.5.1); nil for a probe, which is answered with `unsubscribed`.
    public static func chooseForNobody(kind: StanzaKind, type: StanzaType, hasPayload: Bool = true) -> Choice? {
        switch kind {
        case .iq: return type == .result || type == .error ? .drop : .refuse(.serviceUnavailable)
        case .message:
            switch type {
            case .error, .headline: return .drop
            default: return refuse(hasPayload)
            }
        case .presence: return type == .probe ? nil : .drop
        }
    }

    private static func refuse(_ hasPayload: Bool) -> Choice { hasPayload ? .refuse(.serviceUnavailable) : .drop }

    /// §8.5.2.1.1: never a session with a negative priority.
    private static func nonNegative<Sessions: RandomAccessCollection>(_ sessions: Sessions) -> [Int]
    where Sessions.Element == Candidate, Sessions.Index == Int {
        sessions.indices.filter { (sessions[$0].priority ?? -1) >= 0 }
    }

    private static func mostAvailable<Sessions: RandomAccessCollection>(_ sessions: Sessions) -> [Int]
    where Sessions.Element == Candidate, Sessions.Index == Int {
        var best: [Int] = []
        var highest: Int8 = 0
        for index in sessions.indices {
            guard let priority = sessions[index].priority, priority >= highest else { continue }
            if priority > highest { best.removeAll(keepingCapacity: true) }
            highest = priority
            best.append(index)
        }
        return best
    }
}
