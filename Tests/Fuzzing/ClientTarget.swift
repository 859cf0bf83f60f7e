internal import Stanzas
internal import StreamLogic
internal import XMLStream

enum StreamInputs {
    static let words = [
        XMLInputs.header, "</stream:stream>", "<stream:stream", " to='example.com'", " to='open.example'", " from='juliet@example.com'",
        " version='1.0'", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>",
        "AGp1bGlldAByMG0zMG15cjBtMzA=</auth>", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj1h</auth>",
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", "</response>", "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "=", "AAAA",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>AAAA</initial-response></authenticate>",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>x</software><device>y</device></user-agent><bind xmlns='urn:xmpp:bind:0'><tag>t</tag><enable xmlns='urn:xmpp:sm:3' resume='true' max='9'/><enable xmlns='urn:xmpp:carbons:2'/><inactive xmlns='urn:xmpp:csi:0'/></bind></authenticate>",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><fast xmlns='urn:xmpp:fast:0' count='1' invalidate='true'/></authenticate>",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade><request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/><resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/></authenticate>",
        "<response xmlns='urn:xmpp:sasl:2'>AAAA</response>", "<abort xmlns='urn:xmpp:sasl:2'/>",
        "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-512'/>",
        "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>AAAA</hash></task-data>",
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>",
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
        "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='set' id='p'><preauth xmlns='urn:xmpp:pars:0' token='t'/></iq>",
        "<iq type='get' id='a'><query xmlns='jabber:iq:auth'/></iq>",
        "<iq type='set' id='a'><query xmlns='jabber:iq:auth'><username>juliet</username><password>x</password><resource>r</resource></query></iq>",
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
        "<enable xmlns='urn:xmpp:sm:3' resume='true' max='300'/>", "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>", "<r xmlns='urn:xmpp:sm:3'/>",
        "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>", "<active xmlns='urn:xmpp:csi:0'/>", "<inactive xmlns='urn:xmpp:csi:0'/>",
        "<message to='romeo@example.com' type='chat' id='m'><body>x</body></message>", "<presence/>", "<message to='@'/>", "<iq/>",
        "<message from='juliet@example.com/r'/>", "<message from='romeo@example.com'/>", "<iq type='get' id='1' to='a@b/c'><a xmlns='b'/></iq>",
        "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", "<handshake>00</handshake>",
        "<a xmlns='jabber:server'/>", " ", "\u{0}",
    ]
}

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
                XMLInputs.header + tls, XMLInputs.header + XMLInputs.header + auth + XMLInputs.header + bind + "<presence/></stream:stream>",
                XMLInputs.header + StreamInputs.words.joined(),
            ]
            // Choices that let the client through: whole reads, success, a grant.
            let heads: [[UInt8]] = [[UInt8](repeating: 199, count: 30), [UInt8](repeating: 7, count: 30), (0..<30).map { UInt8(truncatingIfNeeded: $0 * 9) }]
            let pieces = StreamInputs.words.map { word in
                // TLS drops what is read with it: one read a stage.
                [UInt8](repeating: 255, count: 30) + Array((XMLInputs.header + tls + XMLInputs.header + auth + XMLInputs.header + bind + word).utf8)
            }
            return heads.flatMap { head in texts.map { head + Array($0.utf8) } } + pieces
        }
    ) { (input) throws(Breach) in
        var play = ClientPlay(Choices(Array(input.prefix(30))))
        try play.run(Array(input.dropFirst(30)))
    }

    /// `8 choices | bytes of a component`.
    static let component = FuzzTarget(
        "component", "No component speaks before its handshake, nor for another domain, and every answer can be read",
        words: StreamInputs.words + ["jabber:component:accept", " to='plays.lit'", " from='plays.lit'", " from='a@plays.lit/b'"],
        seeds: {
            let header =
                "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='plays.lit'>"
            let texts = [
                header + "<handshake>00</handshake>", header + "<handshake>00</handshake><message from='a@plays.lit' to='b@c'><body>x</body></message>",
                header + "<handshake>00</handshake><iq type='get' from='plays.lit' to='b@c'/></stream:stream>", header + "<presence/>",
            ]
            return texts.map { [255, 3, 255, 3, 255, 3, 255, 3] + Array($0.utf8) }
        }
    ) { (input) throws(Breach) in
        try playComponent(Choices(Array(input.prefix(8))), Array(input.dropFirst(8)))
    }

    private static func playComponent(_ given: Choices, _ bytes: [UInt8]) throws(Breach) {
        var choices = given
        var stream = ComponentStream(domains: ["plays.lit"], serverName: "capulet.lit")
        var wire = Wire(.component, XMLLimits(stanzaBytes: 3_000, headerBytes: 2_000))
        var answers = Answers(.component)
        var (isOver, isGranted, offset) = (false, false, 0)
        var closing: Closing?
        while offset < bytes.count, !isOver {
            let end = min(bytes.count, offset + 1 + choices.below(200) * 3)
            wire.add(Array(bytes[offset..<end]))
            offset = end
            while !isOver, stream.wantsInput, let arrival = try wire.next() {
                switch arrival {
                case .fault(let error): closing = stream.failed(error)
                case .end:
                    closing = stream.ended()
                    isOver = true
                case .header(let header):
                    switch stream.header(header, draining: choices.below(20) == 19) {
                    case .open(let from): try answers.take { ComponentWriting.header(from: from, id: "s", into: &$0) }
                    case .refuse(let end): closing = end
                    case .ignore: break
                    }
                case .element(let element, let source, _):
                    switch stream.receive(element) {
                    case .ignore: break
                    case .fail(let end): closing = end
                    case .verify:
                        let isRight = choices.flag()
                        closing = stream.verified(isRight)
                        try hold((closing == nil) == isRight, "a wrong secret is taken")
                        if isRight {
                            isGranted = stream.granted()
                            try hold(isGranted, "nobody waits for the grant")
                            try answers.take { ComponentWriting.handshake(into: &$0) }
                        }
                    case .stanza:
                        try hold(isGranted, "a stanza is taken before the handshake")
                        switch source.withUnsafeBytes({ stream.stanza(element, source: $0) }) {
                        case .submit(let stanza): try hold(stanza.from?.domain == "plays.lit" && stanza.to != nil, "a stanza of another is taken")
                        case .bounce(let bytes): try answers.take { $0.raw(bytes) }
                        case .fail(let end): closing = end
                        case .ignore: break
                        }
                    }
                }
                let isReady = stream.isReady
                try hold(!isReady || isGranted, "it is ready, and nobody granted it")
                if let end = closing {
                    try answers.take { ComponentWriting.closing(end, id: "s", into: &$0) }
                    isOver = true
                }
            }
        }
        let wants = stream.wantsInput
        try hold(isOver || wants, "it waits for something that nobody was asked for")
    }
}
