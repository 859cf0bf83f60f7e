internal import Stanzas
internal import StreamLogic
internal import XMLStream

extension FuzzTarget {
    /// `8 choices | bytes of a component`.
    static let component = FuzzTarget(
        "component", "No component speaks before its handshake, nor for another domain, and every answer can be read",
        words: StreamInputs.words + ["jabber:component:accept", " to='plays.lit'", " from='plays.lit'", " from='a@plays.lit/b'"],
        seeds: {
            let header =
                "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='plays.lit'>"
            let texts = [
                header + "<handshake>00</handshake>",
                header + "<handshake>00</handshake><message from='a@plays.lit' to='b@c'><body>x</body></message>",
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
                        case .submit(let stanza):
                            try hold(stanza.from?.domain == "plays.lit" && stanza.to != nil, "a stanza of another is taken")
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
