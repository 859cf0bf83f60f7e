import Stanzas

/// The pieces that letters are made of.
extension ByteWriter {
    mutating func bool(_ value: Bool) { uint8(value ? 1 : 0) }
    mutating func jid(_ jid: JID) { string(jid.description) }
    mutating func jids(_ jids: [JID]) {
        count(jids.count)
        for jid in jids { self.jid(jid) }
    }
    mutating func optional(_ text: String?) {
        bool(text != nil)
        if let text { string(text) }
    }
    mutating func shard(_ shard: ShardAddress) {
        uint64(shard.node)
        uint16(shard.loop)
    }
    mutating func session(_ session: SessionRef) {
        shard(session.shard)
        uint64(session.id)
        uint64(session.key)
    }
    mutating func ticket(_ ticket: Ticket) {
        session(ticket.session)
        uint32(ticket.inSeq)
        bool(ticket.isRepeat)
        uint32(ticket.settled)
    }
    mutating func bindID(_ bind: BindID) {
        uint64(bind.epoch)
        uint64(bind.counter)
    }
    mutating func numbers(_ numbers: [UInt64]) {
        count(numbers.count)
        for number in numbers { uint64(number) }
    }
    mutating func stanza(_ stanza: Stanza) { stanza.encode(into: &self, traced: true) }
    mutating func error(_ error: StanzaError) {
        uint8(error.condition.rawValue)
        uint8(error.type.rawValue)
        optional(error.text)
        optional(error.address)
        bytes(error.application ?? [])
        uint16(error.code ?? 0)
    }
    mutating func reason(_ reason: EndReason) {
        string(reason.label)
        switch reason {
        case .kicked(let text): optional(text)
        case .protocolError(let error):
            string(error.condition.rawValue)
            optional(error.text)
        default: break
        }
    }
}

extension ByteReader {
    mutating func bool() throws(CodecError) -> Bool { try uint8() != 0 }
    mutating func jid() throws(CodecError) -> JID {
        guard let jid = try? JID(try string()) else { throw .malformed }
        return jid
    }
    mutating func jids() throws(CodecError) -> [JID] {
        var all: [JID] = []
        for _ in 0..<(try count()) { all.append(try jid()) }
        return all
    }
    mutating func optional() throws(CodecError) -> String? { try bool() ? try string() : nil }
    mutating func shard() throws(CodecError) -> ShardAddress { ShardAddress(node: try uint64(), loop: try uint16()) }
    mutating func session() throws(CodecError) -> SessionRef { SessionRef(shard: try shard(), id: try uint64(), key: try uint64()) }
    mutating func ticket() throws(CodecError) -> Ticket {
        Ticket(session: try session(), inSeq: try uint32(), isRepeat: try bool(), settled: try uint32())
    }
    mutating func bindID() throws(CodecError) -> BindID { BindID(epoch: try uint64(), counter: try uint64()) }
    mutating func numbers() throws(CodecError) -> [UInt64] {
        var all: [UInt64] = []
        for _ in 0..<(try count()) { all.append(try uint64()) }
        return all
    }
    mutating func stanza() throws(CodecError) -> Stanza { try Stanza.decode(&self) }
    mutating func error() throws(CodecError) -> StanzaError {
        guard let condition = StanzaError.Condition(rawValue: try uint8()), let type = StanzaError.Kind(rawValue: try uint8()) else {
            throw .malformed
        }
        var error = StanzaError(condition, type: type, text: try optional())
        error.address = try optional()
        let application = try bytes()
        error.application = application.isEmpty ? nil : application
        let code = try uint16()
        error.code = code == 0 ? nil : code
        return error
    }
    mutating func reason() throws(CodecError) -> EndReason {
        switch try string() {
        case "closed": return .closed
        case "lost": return .lost
        case "replaced": return .replaced
        case "kicked": return .kicked(text: try optional())
        case "account-gone": return .accountGone
        case "credentials-changed": return .credentialsChanged
        case "overrun": return .overrun
        case "protocol-error":
            let condition = StreamError.Condition(rawValue: try string()) ?? .undefinedCondition
            return .protocolError(StreamError(condition, text: try optional()))
        case "shutdown": return .shutdown
        case "node-lost": return .nodeLost
        case "expired": return .expired
        case "host-gone": return .hostGone
        case "unknown-to-home": return .unknownToHome
        default: throw .malformed
        }
    }
}
