internal import Authentication
internal import ServerCore
internal import Settings
internal import Stanzas
internal import StreamLogic
internal import XMLStream

/// SASL2 (XEP-0388): what is offered inline, and what was asked for inline, done in its order: resumption, or else a resource.
extension ClientHandler {
    /// What stands in `<success/>`, gathered while it is done.
    struct Success {
        /// What the mechanism says last.
        var data: [UInt8]?
        /// Answers to what was asked for inline.
        var inline = XMLWriter()
    }

    // MARK: Features

    /// The features of this stage beside those of RFC 6120.
    func moreFeatures(_ offer: Offer) -> [UInt8] {
        var writer = XMLWriter()
        if offer.authentication, stream.isSecure {
            StreamWriting.authentication(stream.mechanisms, inlineOffer, into: &writer)
        }
        if offer.authentication { writer.raw(visitorFeatures()) }
        let settings = clients.service.settings
        if stream.account == nil {
            StreamWriting.limits(
                bytes: settings.limits.stanzaBytesBeforeAuth, idleSeconds: settings.limits.unauthenticatedSeconds, into: &writer)
        } else {
            let idle = settings.sessions.keepaliveSeconds
            StreamWriting.limits(bytes: settings.limits.stanzaBytes, idleSeconds: idle > 0 ? idle : nil, into: &writer)
            writer.raw(clients.shard.table.streamFeatures(of: stream.domain ?? ""))
        }
        return writer.bytes
    }

    private var inlineOffer: StreamWriting.Inline {
        StreamWriting.Inline(bindFeatures: [NS.carbons])
    }

    // MARK: From proof to success

    /// The client is who it says: what it asked for inline follows, then the answer to all of it.
    func accept(_ account: JID, data: [UInt8]?) {
        raiseLimits()
        success = Success(data: data)
        device = stream.request?.agent?.id
        bindInline(account)
    }

    private func bindInline(_ account: JID) {
        guard let wish = stream.request?.bind else { return complete(.unbound) }
        let terms = BindTerms(device: device, replacesDevice: true, carbons: wish.carbons)
        let resource = clients.shard.resource(account: account, tag: wish.tag, device: device)
        session = clients.shard.bind(account: account, resource: resource, terms: terms, connection: self) { [self] result in
            switch result {
            case .success(let session):
                success?.inline.empty("bound", xmlns: NS.bind2)
                complete(.session(session.fullJID))
            case .failure:
                // The client is authenticated all the same: why there is no resource it hears when it asks for one.
                session = nil
                complete(.unbound)
            }
        }
    }

    private func complete(_ completion: ClientStream.Completion) {
        guard let success, let account = stream.account, let offer = stream.completed(completion) else { return }
        self.success = nil
        let identity = stream.fullJID ?? account
        let more = moreFeatures(offer)
        put { writer in
            StreamWriting.success(identity, data: success.data, inline: success.inline.bytes, into: &writer)
            StreamWriting.features(offer, more: more, into: &writer)
        }
        if stream.isReady { clients.settle(self) }
        // The success stands before anything the session writes.
        flush()
        clients.later(self)
    }
}
