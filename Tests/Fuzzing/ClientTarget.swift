internal import Stanzas
internal import StreamLogic
internal import XMLStream

/// A client's stream, and everybody behind it: TLS, SASL and the account's home, whose answers are chosen by the input.
private struct ClientPlay: ~Copyable {
    var stream: ClientStream
    var wire = Wire(.client, XMLLimits(stanzaBytes: 3_000, depth: 32, attributes: 64, headerBytes: 2_000))
    var answers = Answers(.client)
    var choices: Choices
    /// What was granted by those who may.
    var tls = false
    var proved: String?
    var bound: JID?
    var isOver = false

    static let policy: StreamPolicy = {
        var policy = StreamPolicy(
            hosts: [
                "example.com": .init(offersTLS: true, requiresTLS: true), "open.example": .init(offersTLS: true, requiresTLS: false),
                "plain.example": .init(offersTLS: false, requiresTLS: false),
            ],
            goneHosts: ["old.example"], domain: "example.com", mechanisms: mechanisms, authenticationFailures: 3, bindFailures: 3,
            visitFailures: 3)
        policy.nonSASL = true
        policy.compression = true
        policy.managementFailures = 3
        policy.compressionFailures = 3
        return policy
    }()
    static let mechanisms: Set<String> = ["SCRAM-SHA-1", "PLAIN", "HT-SHA-256-NONE"]

    init(_ choices: Choices) {
        self.choices = choices
        stream = ClientStream(policy: Self.policy, secure: false)
    }

    mutating func close(_ closing: Closing?) throws(Breach) {
        guard let closing else { return }
        try answers.take { StreamWriting.closing(closing, id: "s", into: &$0) }
        isOver = true
    }

    mutating func run(_ bytes: [UInt8]) throws(Breach) {
        var offset = 0
        while offset < bytes.count, !isOver {
            let end = min(bytes.count, offset + 1 + choices.below(200) * 3)
            wire.add(Array(bytes[offset..<end]))
            offset = end
            while !isOver, stream.wantsInput, let arrival = try wire.next() { try take(arrival) }
            try hold(isOver || stream.wantsInput, "it waits for something that nobody was asked for")
        }
        if !isOver { try close(stream.close(nil)) }
        let (again, wants) = (stream.close(nil), stream.isClosing)
        try hold(again == nil && wants, "it is closed twice")
    }

    private mutating func take(_ arrival: Wire.Arrival) throws(Breach) {
        switch arrival {
        case .fault(let error): try close(stream.failed(error))
        case .end:
            if case .answer(let closing) = stream.ended() { try close(closing) }
            isOver = true
        case .header(let header):
            let draining: Draining? = choices.below(40) == 39 ? .shutdown : nil
            switch stream.header(header, draining: draining) {
            case .ignore: break
            case .refuse(let closing): try close(closing)
            case .open(let response, let offer):
                if offer.authentication {
                    let host = stream.domain.flatMap { Self.policy.hosts[$0] }
                    try hold(tls || host?.requiresTLS == false, "authentication is offered before TLS")
                    stream.mechanisms = ["SCRAM-SHA-1"] + (tls ? ["PLAIN"] : [])
                    if tls { stream.tokenMechanisms = ["HT-SHA-256-NONE"] }
                }
                try hold(!offer.binding || proved != nil, "binding is offered to somebody unknown")
                let mechanisms = stream.mechanisms
                try answers.take { writer in
                    StreamWriting.header(response, id: "s", into: &writer)
                    if response.hasVersion { StreamWriting.features(offer, mechanisms: mechanisms, into: &writer) }
                }
            }
        case .element(let element, let bytes, let followed):
            try received(stream.receive(element, followed: followed), element, bytes)
        }
        try check()
    }

    /// What must be true at any moment.
    private func check() throws(Breach) {
        try hold(stream.isSecure == tls, "it takes itself for protected")
        try hold(stream.account?.local == proved, "it takes the client for \(stream.account?.description ?? "nobody")")
        try hold(stream.fullJID == bound, "it takes \(stream.fullJID?.description ?? "nothing") for bound")
        try hold(!stream.isReady || bound != nil && proved != nil, "it is ready, and nobody is bound")
    }

    private mutating func received(_ received: ClientStream.Received, _ element: Element, _ bytes: [UInt8]) throws(Breach) {
        switch received {
        case .ignore, .clientState, .management(.answer), .management(.acknowledged): break
        case .fail(let closing): try close(closing)
        case .refuseTLS:
            try answers.take { StreamWriting.tlsFailure(into: &$0) }
            isOver = true
        case .startTLS:
            try hold(!tls && proved == nil, "TLS begins again")
            try answers.take { StreamWriting.proceed(into: &$0) }
            wire.drop()
            if choices.below(20) == 19 {
                stream.lost()
                isOver = true
                return
            }
            tls = true
            stream.secured()
            restart()
        case .authenticate(let mechanism, _):
            try hold(proved == nil && Self.mechanisms.contains(mechanism), "\(mechanism) is begun")
            try hold(tls || mechanism != "PLAIN", "a password is taken without TLS")
            try step()
        case .authenticateExtensible:
            try hold(tls && proved == nil && stream.request != nil, "SASL2 is begun")
            try step()
        case .respond, .finishTask, .beginTask: try step()
        case .rejectAuthentication(let condition, let closing):
            let profile = stream.profile
            try answers.take { StreamWriting.failure(condition, profile, into: &$0) }
            try close(closing)
        case .bind(let resource):
            try hold(proved != nil && bound == nil, "a resource is asked for")
            try grant(resource)
        case .nonSASLFields(let id): try answers.take { StreamWriting.nonSASLFields(id: id, into: &$0) }
        case .visit:
            try hold(proved == nil, "one who is known is a visitor")
            switch stream.visited(choices.flag() ? StanzaError(.notAllowed) : nil) {
            case .answer(let id): try answers.take { StreamWriting.result([], id: id, into: &$0) }
            case .refuse(let id, let error, let closing):
                try answers.take { StreamWriting.refusal(error, id: id, into: &$0) }
                try close(closing)
            case .ignore: throw Breach("the answer to a visitor is not wanted")
            }
        case .refuse(let id, let error, let closing):
            try answers.take { StreamWriting.refusal(error, id: id, into: &$0) }
            try close(closing)
        case .compress:
            try hold(proved != nil && bound == nil, "compression is begun")
            guard choices.below(4) > 0 else { return try self.received(stream.compressionFailed(), element, bytes) }
            let (isWritten, isCompressed) = (stream.compressed(), stream.isCompressed)
            try hold(isWritten && isCompressed, "compression is not taken")
            try answers.take { StreamWriting.compressed(into: &$0) }
            restart()
        case .refuseCompression(let failure, let closing):
            try answers.take { StreamWriting.compressionFailure(failure, into: &$0) }
            try close(closing)
        case .management(.enable):
            try hold(bound != nil, "stream management begins without a session")
            try answers.take { StreamWriting.enabled(id: "x", max: 5, location: nil, into: &$0) }
        case .management(.fail(let condition, let closing)):
            try answers.take { StreamWriting.managementFailed(condition, h: 1, into: &$0) }
            try close(closing)
        case .management(.resume(let previd, _)):
            try hold(proved != nil && bound == nil, "a session is resumed by somebody unknown")
            if choices.flag(), let jid = full("resumed") {
                stream.resumed(jid)
                bound = jid
                try answers.take { StreamWriting.resumed(previd: previd, h: 1, into: &$0) }
            } else {
                stream.resumeRefused()
                try answers.take { StreamWriting.managementFailed(.itemNotFound, into: &$0) }
            }
        case .stanza:
            try hold(bound != nil, "a stanza is taken from one who has no session")
            switch bytes.withUnsafeBytes({ stream.stanza(element, source: $0) }) {
            case .submit(let stanza):
                let isOwn = stanza.from == nil || stanza.from == bound || stanza.from == stream.account
                try hold(isOwn, "a stanza from \(stanza.from?.description ?? "") is taken")
            case .bounce(let stanza):
                try answers.take { writer in stanza.write(into: &writer.bytes) }
            case .fail(let closing): try close(closing)
            case .ignore: break
            }
        }
    }

    private mutating func restart() {
        wire.restart()
        answers.restart()
    }

    private func full(_ resource: String) -> JID? {
        proved.flatMap { try? JID(local: $0, domain: stream.domain ?? "example.com", resource: resource) }
    }

    private mutating func grant(_ resource: String?) throws(Breach) {
        guard choices.below(4) > 0, let jid = full(resource ?? "made") else {
            return try received(stream.bindRefused(StanzaError(.conflict)), .none)
        }
        bound = jid
        guard let id = stream.bound(jid) else { throw Breach("the resource is not wanted") }
        try answers.take { StreamWriting.bound(jid, id: id, into: &$0) }
    }

    private mutating func received(_ received: ClientStream.Received, _ nothing: Element?) throws(Breach) {
        guard case .refuse(let id, let error, let closing) = received else { throw Breach("\(received) to a resource refused") }
        try answers.take { StreamWriting.refusal(error, id: id, into: &$0) }
        try close(closing)
    }

    /// SASL has done a step.
    private mutating func step() throws(Breach) {
        let step: ClientStream.Step =
            switch choices.below(8) {
            case 0, 1: .challenge
            case 2: .failure(.notAuthorized)
            case 3: .proceed(user: "juliet")
            case 4: .task
            case 5: .success(user: "romeo")
            default: .success(user: "juliet")
            }
        let profile = stream.profile
        switch stream.stepped(step) {
        case .ignore:
            // What cannot be there now: SASL is told that it failed.
            try stepped(stream.stepped(.failure(.temporaryAuthFailure)), nil, profile)
        case let stepped:
            var user: String?
            if case .success(let name) = step { user = name }
            try self.stepped(stepped, user, profile)
        }
    }

    private mutating func stepped(_ stepped: ClientStream.Stepped, _ user: String?, _ profile: SASLProfile) throws(Breach) {
        switch stepped {
        case .ignore: throw Breach("nobody waits for the outcome of SASL")
        case .challenge: try answers.take { StreamWriting.challenge([1], profile, into: &$0) }
        case .reject(let condition, let closing):
            try answers.take { StreamWriting.failure(condition, profile, into: &$0) }
            try close(closing)
        case .fail(let closing): try close(closing)
        case .refuse(let id, let error, let closing):
            try answers.take { StreamWriting.refusal(error, id: id, into: &$0) }
            try close(closing)
        case .proceed: try answers.take { StreamWriting.proceed(with: "UPGR-SCRAM-SHA-512", data: nil, into: &$0) }
        case .task: try answers.take { StreamWriting.upgradeTask(salt: [1], iterations: 4_096, into: &$0) }
        case .authenticated(let jid):
            try hold(user != nil && jid.local == user, "\(jid) is in, and SASL did not say so")
            proved = user
            try answers.take { StreamWriting.success(nil, into: &$0) }
            restart()
        case .enter(let jid, let resource):
            try hold(user != nil && jid.local == user, "\(jid) is in, and SASL did not say so")
            proved = user
            try grant(resource)
        case .accepted(let jid):
            try hold(user != nil && jid.local == user, "\(jid) is in, and SASL did not say so")
            proved = user
            var completion = ClientStream.Completion.unbound
            if stream.request?.bind != nil, choices.flag(), let full = full("bound") {
                completion = .session(full)
                bound = full
            }
            guard let offer = stream.completed(completion) else { throw Breach("nobody waits for what was asked for inline") }
            try hold(offer.binding == (bound == nil), "binding is offered")
            try answers.take { writer in
                StreamWriting.success(jid, data: nil, inline: [], into: &writer)
                StreamWriting.features(offer, into: &writer)
            }
        }
    }
}

extension FuzzTarget {
    /// `30 choices | bytes of a client`.
    static let client = FuzzTarget(
        "client", "Nobody is let in whom TLS, SASL and the home did not let in, and every answer is a stream that can be read",
        words: StreamInputs.words,
        seeds: {
            let (tls, bind) = ("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", StreamInputs.words[25])
            let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMG15cjBtMzA=</auth>"
            let texts = [
                XMLInputs.header + tls,
                XMLInputs.header + XMLInputs.header + auth + XMLInputs.header + bind + "<presence/></stream:stream>",
                XMLInputs.header + StreamInputs.words.joined(),
            ]
            // Choices that let the client through: whole reads, success, a grant.
            let heads: [[UInt8]] = [
                [UInt8](repeating: 199, count: 30), [UInt8](repeating: 7, count: 30), (0..<30).map { UInt8(truncatingIfNeeded: $0 * 9) },
            ]
            let pieces = StreamInputs.words.map { word in
                // TLS drops what is read with it: one read a stage.
                [UInt8](repeating: 255, count: 30)
                    + Array((XMLInputs.header + tls + XMLInputs.header + auth + XMLInputs.header + bind + word).utf8)
            }
            return heads.flatMap { head in texts.map { head + Array($0.utf8) } } + pieces
        }
    ) { (input) throws(Breach) in
        var play = ClientPlay(Choices(Array(input.prefix(30))))
        try play.run(Array(input.dropFirst(30)))
    }
}
