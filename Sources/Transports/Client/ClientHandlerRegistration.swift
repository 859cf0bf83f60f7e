internal import Authentication
internal import NIOCore
internal import ServerCore
internal import Stanzas
internal import StreamLogic
internal import XMLStream

/// Requests of a client that has not authenticated, handed to the modules and answered.
extension ClientHandler {
    /// What modules offer on the stream that begins.
    func visitorFeatures() -> [UInt8] {
        guard let domain = stream.domain else { return [] }
        let isOpen = origin.isLoopback && view.loopback.hosts[domain]?.requiresTLS == false
        let visitor = Visitor(
            domain: domain, address: origin.prefix.map { "\($0)" } ?? "", isProtected: stream.isSecure || isOpen)
        self.visitor = visitor
        return clients.shard.table.features(for: visitor)
    }

    func visit(_ element: Element, isSet: Bool) {
        guard let context else { return }
        let waiting = NIOLoopBound(self, eventLoop: context.eventLoop)
        guard let payload = ClientStream.payload(of: element), let visitor else { return answer(.error(StanzaError(.serviceUnavailable))) }
        let isTaken = clients.shard.receive(payload, isSet: isSet, from: visitor) { reply in
            let handler = waiting.value
            handler.answer(reply)
            handler.clients.later(handler)
        }
        if !isTaken { answer(.error(StanzaError(.serviceUnavailable))) }
    }

    private func answer(_ reply: IQReply) {
        switch reply {
        case .result(let payload):
            guard case .answer(let id) = stream.visited(nil) else { return }
            put { StreamWriting.result(payload, id: id, into: &$0) }
        case .error(let error):
            guard case .refuse(let id, let error, let closing) = stream.visited(error) else { return }
            put { StreamWriting.refusal(error, id: id, into: &$0) }
            if let closing { finish(closing) }
        case .later, .sent: break
        }
    }
}
