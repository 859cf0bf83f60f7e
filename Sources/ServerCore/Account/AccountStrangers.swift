import Settings
import Stanzas
import Store
import XMLStream

/// What those learn who may not see an account's presence: as little as if there were no account (RFC 6120 §10.2, §13.11; RFC 6121 §8.5.1).
///
/// Nobody, a disabled account, one that blocks the sender and one that does not know him answer here, by one rule, so that no module has to
/// think of it: a request from a stranger reaches a module only where it claimed `Addressee.accountOfStranger`.
extension Account {
    /// A request of a stranger to the bare address.
    func answerStranger(_ stanza: Stanza, _ ticket: Ticket?) {
        guard publicHandler(of: stanza) != nil else { return answerAsNobody(stanza, ticket, "\(jid) does not know who asks") }
        dispatch(stanza, .accountOfStranger, ticket: ticket)
    }

    /// What becomes of a stanza where nobody is, or seems to be.
    ///
    /// - Parameter why: for the trace.
    func answerAsNobody(_ stanza: Stanza, _ ticket: Ticket?, _ why: @autoclosure () -> String) {
        switch DeliveryRules.chooseForNobody(kind: stanza.kind, type: stanza.type, hasPayload: stanza.mayBeKept) {
        case .refuse(let condition):
            let refusal = heard(StanzaError(condition), by: stanza)
            trace(refusal == nil ? .dropped : .bounced, stanza, why())
            guard publicHandler(of: stanza) != nil else { return complete(ticket, .theirs, refusal: refusal) }
            // Who has an account is looked up for what it shows to everybody. So is nobody, or the time would tell.
            let (name, identity) = (jid.description, core.identity)
            read({ (snapshot) throws(StoreFailure) in try AccountRecord.find(name, in: snapshot, identity: identity) != nil }) { _ in
                self.complete(ticket, .theirs, refusal: refusal)
            }
        case .sessions, .offline, .drop:
            trace(.dropped, stanza, why())
            complete(ticket, .theirs)
        case nil:
            trace(.dropped, stanza, why())
            if let asker = stanza.from, !isVisible(to: asker.bare) { denyProbe(stanza) }
            complete(ticket, .theirs)
        }
    }

    /// RFC 6121 §4.3.2: a probe of one who may not see the presence is answered as a cancelled subscription.
    func denyProbe(_ probe: Stanza) {
        guard let asker = probe.from else { return }
        route(Stanza(kind: .presence, type: .unsubscribed, id: probe.id, from: jid, to: asker.bare), nil)
    }

    /// What the sender of a stanza hears of its refusal: where strangers' messages are not answered, nothing, since what is delivered or
    /// kept is not answered either.
    func heard(_ refusal: StanzaError?, by stanza: Stanza) -> StanzaError? {
        guard refusal != nil, stanza.kind == .message, !core.settings.offline.answersStrangers else { return refusal }
        guard let from = stanza.from, isVisible(to: from.bare) else { return nil }
        return refusal
    }

    /// The handler of a request that everybody may ask an account, if this is one.
    private func publicHandler(of stanza: Stanza) -> Registration.IQHandler? {
        guard stanza.kind == .iq, stanza.type == .get || stanza.type == .set, let wrapped = stanza.payload.element(wrappedIn: .iq) else {
            return nil
        }
        // RFC 6120 §8.2.3: exactly one child. What is wrong with a request is not said by somebody who is not there.
        let payloads = Array(wrapped.children.prefix(2))
        guard payloads.count == 1, let payload = payloads.first else { return nil }
        return shard.table.handler(isSet: stanza.type == .set, payload.name, .accountOfStranger)
    }
}
