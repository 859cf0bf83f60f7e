package import Stanzas

/// Letters as bytes, for the way between nodes. A batch is a sequence of letters; each begins with its kind.
///
/// The format changes only together with the feature level that the nodes exchange in their hello.
package enum LetterCodec {
    fileprivate enum Kind: UInt8 {
        case submit = 1, route, fanOut, bind, unbind, acked, command, returned, refused, activity, managed, resume, moved
        case deliver = 32, completed, bound, end, detach, stay, forget, adopt, resumeRefused, shelter, leaves
        case resync = 64, report, reported, serves, commandResult, ask, answer
    }

    /// Splits the letters of a tick into runs of one lane, in order, each encoded and below the size of a frame.
    package static func batches(_ letters: [Letter]) -> [(LetterLane, [UInt8])] {
        var all: [(LetterLane, [UInt8])] = []
        var writer = ByteWriter()
        var lane = LetterLane.stanza
        for letter in letters {
            let wanted = Self.lane(of: letter)
            if writer.bytes.count > 262_144 || (wanted != lane && !writer.bytes.isEmpty) {
                all.append((lane, writer.bytes))
                writer = ByteWriter()
            }
            lane = wanted
            encode(letter, &writer)
        }
        if !writer.bytes.isEmpty { all.append((lane, writer.bytes)) }
        return all
    }

    /// Takeover letters keep their order with stanzas; only the administrator's reads are bulk.
    private static func lane(of letter: Letter) -> LetterLane {
        switch letter {
        case .ask, .answer: .bulk
        default: .stanza
        }
    }

    package static func decode(_ bytes: [UInt8]) throws(CodecError) -> [Letter] {
        var reader = ByteReader(bytes)
        var letters: [Letter] = []
        while !reader.isAtEnd { letters.append(try decodeOne(&reader)) }
        return letters
    }

    // MARK: Encoding

    private static func encode(_ letter: Letter, _ w: inout ByteWriter) {
        switch letter {
        case .submit(let account, let ticket, let stanza):
            w.kind(.submit)
            w.jid(account)
            w.ticket(ticket)
            w.stanza(stanza)
        case .route(let to, let stanza, let ticket):
            w.kind(.route)
            w.jid(to)
            w.stanza(stanza)
            w.bool(ticket != nil)
            if let ticket { w.ticket(ticket) }
        case .fanOut(let to, let stanza):
            w.kind(.fanOut)
            w.jids(to)
            w.stanza(stanza)
        case .bind(let request):
            w.kind(.bind)
            w.jid(request.account)
            w.optional(request.resource)
            w.session(request.session)
            w.terms(request.terms)
        case .unbind(let account, let session, let bind, let reason, let unacked):
            w.kind(.unbind)
            w.jid(account)
            w.session(session)
            w.bindID(bind)
            w.uint8(reason.rawValue)
            w.numbers(unacked)
        case .acked(let account, let session, let messages):
            w.kind(.acked)
            w.jid(account)
            w.session(session)
            w.numbers(messages)
        case .returned(let account, let session, let stanzas):
            w.kind(.returned)
            w.jid(account)
            w.session(session)
            w.count(stanzas.count)
            for stanza in stanzas { w.stanza(stanza) }
        case .command(let letter):
            w.kind(.command)
            w.uint64(letter.id)
            w.shard(letter.replyTo)
            w.jid(letter.account)
            encode(letter.command, &w)
        case .refused(let account, let session, let error):
            w.kind(.refused)
            w.jid(account)
            w.session(session)
            w.stanza(error)
        case .activity(let account, let session, let isActive):
            w.kind(.activity)
            w.jid(account)
            w.session(session)
            w.bool(isActive)
        case .managed(let account, let session, let note):
            w.kind(.managed)
            w.jid(account)
            w.session(session)
            w.note(note)
        case .resume(let request):
            w.kind(.resume)
            w.jid(request.account)
            w.string(request.previd)
            w.session(request.session)
            w.bool(request.sheltered != nil)
            if let sheltered = request.sheltered { w.session(sheltered) }
        case .moved(let account, let from, let to, let state):
            w.kind(.moved)
            w.jid(account)
            w.session(from)
            w.session(to)
            w.bool(state != nil)
            state?.encode(&w)
        case .detach(let session, let account, let to, let epoch):
            w.kind(.detach)
            w.uint64(session)
            w.jid(account)
            w.session(to)
            w.uint64(epoch)
        case .stay(let session, let epoch):
            w.kind(.stay)
            w.uint64(session)
            w.uint64(epoch)
        case .forget(let session):
            w.kind(.forget)
            w.uint64(session)
        case .adopt(let session, let from, let epoch, let state):
            w.kind(.adopt)
            w.uint64(session)
            w.session(from)
            w.uint64(epoch)
            state.encode(&w)
        case .resumeRefused(let session, let refusal):
            w.kind(.resumeRefused)
            w.uint64(session)
            w.refusal(refusal)
        case .shelter(let request):
            w.kind(.shelter)
            w.jid(request.account)
            w.string(request.id)
            w.session(request.session)
            w.bool(request.isExpected)
        case .leaves(let node, let leaves):
            w.kind(.leaves)
            w.uint64(node)
            w.bool(leaves)
        case .deliver(let session, let epoch, let message, let stanza):
            w.kind(.deliver)
            w.uint64(session)
            w.uint64(epoch)
            w.uint64(message)
            w.stanza(stanza)
        case .completed(let session, let inSeq, let half, let refusal):
            w.kind(.completed)
            w.uint64(session)
            w.uint32(inSeq)
            w.uint8(half.rawValue)
            w.bool(refusal != nil)
            if let refusal { w.error(refusal) }
        case .bound(let session, let answer):
            w.kind(.bound)
            w.uint64(session)
            switch answer {
            case .granted(let resource, let bind, let epoch, let archive):
                w.uint8(0)
                w.string(resource)
                w.bindID(bind)
                w.uint64(epoch)
                w.bool(archive != nil)
                if let archive { w.metadata(archive) }
            case .refused(let error):
                w.uint8(1)
                w.error(error)
            }
        case .end(let session, let reason):
            w.kind(.end)
            w.uint64(session)
            w.reason(reason)
        case .resync(let owner, let loops, let epoch):
            w.kind(.resync)
            w.uint64(owner)
            w.uint16(loops)
            w.uint64(epoch)
        case .report(let report):
            w.kind(.report)
            encode(report, &w)
        case .reported(let epoch, let from):
            w.kind(.reported)
            w.uint64(epoch)
            w.shard(from)
        case .serves(let owner, let epoch):
            w.kind(.serves)
            w.uint64(owner)
            w.uint64(epoch)
        case .commandResult(let id, let result):
            w.kind(.commandResult)
            w.uint64(id)
            switch result {
            case .done(let count):
                w.uint8(0)
                w.uint32(UInt32(clamping: count))
            case .exists: w.uint8(1)
            case .notFound: w.uint8(2)
            case .failed(let why):
                w.uint8(3)
                w.string(why)
            case .value(let bytes):
                w.uint8(4)
                w.bytes(bytes)
            }
        case .ask(let id, let from, let question):
            w.kind(.ask)
            w.uint64(id)
            w.shard(from)
            w.bytes(question)
        case .answer(let id, let part, let last):
            w.kind(.answer)
            w.uint64(id)
            w.bytes(part)
            w.bool(last)
        }
    }

    private static func encode(_ command: AccountCommand, _ w: inout ByteWriter) {
        switch command {
        case .create(let credentials):
            w.uint8(0)
            w.bytes(credentials)
        case .setCredentials(let credentials):
            w.uint8(1)
            w.bytes(credentials)
        case .delete: w.uint8(2)
        case .enable: w.uint8(3)
        case .disable(let reason):
            w.uint8(4)
            w.string(reason)
        case .kick(let resource, let text):
            w.uint8(5)
            w.optional(resource)
            w.optional(text)
        case .call(let name, let argument):
            w.uint8(6)
            w.string(name)
            w.bytes(argument)
        }
    }

    private static func encode(_ report: SessionReport, _ w: inout ByteWriter) {
        w.uint64(report.epoch)
        w.jid(report.account)
        w.string(report.resource)
        w.session(report.session)
        w.bindID(report.bind)
        w.bool(report.presence != nil)
        if let presence = report.presence { w.stanza(presence) }
        w.bool(report.presenceConfirmed)
        w.bool(report.presenceIsFresh)
        w.uint8(report.flags)
        w.optional(report.device)
        w.jids(report.directed)
        w.uint64(report.deliveredThrough)
        w.numbers(report.unacked)
        w.numbers(report.acked)
        w.bool(report.management != nil)
        if let note = report.management { w.note(note) }
        w.uint32(report.moves)
        w.bool(report.isLeaving)
    }

    // MARK: Decoding

    private static func decodeOne(_ r: inout ByteReader) throws(CodecError) -> Letter {
        guard let kind = Kind(rawValue: try r.uint8()) else { throw .malformed }
        switch kind {
        case .submit: return .submit(account: try r.jid(), ticket: try r.ticket(), stanza: try r.stanza())
        case .route:
            let to = try r.jid()
            let stanza = try r.stanza()
            return .route(to: to, stanza: stanza, ticket: try r.bool() ? try r.ticket() : nil)
        case .fanOut: return .fanOut(to: try r.jids(), stanza: try r.stanza())
        case .bind:
            return
                .bind(BindRequest(account: try r.jid(), resource: try r.optional(), session: try r.session(), terms: try r.terms()))
        case .unbind:
            let account = try r.jid()
            let session = try r.session()
            let bind = try r.bindID()
            guard let departure = Departure(rawValue: try r.uint8()) else { throw .malformed }
            return .unbind(account: account, session: session, bind: bind, reason: departure, unacked: try r.numbers())
        case .acked: return .acked(account: try r.jid(), session: try r.session(), messages: try r.numbers())
        case .returned:
            let account = try r.jid()
            let session = try r.session()
            var stanzas: [Stanza] = []
            for _ in 0..<(try r.count()) { stanzas.append(try r.stanza()) }
            return .returned(account: account, session: session, stanzas: stanzas)
        case .command:
            let id = try r.uint64()
            let replyTo = try r.shard()
            let account = try r.jid()
            return .command(CommandLetter(id: id, replyTo: replyTo, account: account, command: try decodeCommand(&r)))
        case .refused: return .refused(account: try r.jid(), session: try r.session(), error: try r.stanza())
        case .activity: return .activity(account: try r.jid(), session: try r.session(), isActive: try r.bool())
        case .managed: return .managed(account: try r.jid(), session: try r.session(), try r.note())
        case .resume:
            return .resume(
                ResumeRequest(
                    account: try r.jid(), previd: try r.string(), session: try r.session(), sheltered: try r.bool() ? try r.session() : nil)
            )
        case .moved:
            return .moved(
                account: try r.jid(), from: try r.session(), to: try r.session(), state: try r.bool() ? try SessionState(&r) : nil)
        case .detach: return .detach(session: try r.uint64(), account: try r.jid(), to: try r.session(), epoch: try r.uint64())
        case .stay: return .stay(session: try r.uint64(), epoch: try r.uint64())
        case .forget: return .forget(session: try r.uint64())
        case .adopt:
            return .adopt(session: try r.uint64(), from: try r.session(), epoch: try r.uint64(), state: try SessionState(&r))
        case .resumeRefused: return .resumeRefused(session: try r.uint64(), try r.refusal())
        case .shelter:
            return .shelter(
                ShelterRequest(account: try r.jid(), id: try r.string(), session: try r.session(), isExpected: try r.bool()))
        case .leaves: return .leaves(node: try r.uint64(), try r.bool())
        case .deliver:
            return .deliver(session: try r.uint64(), epoch: try r.uint64(), message: try r.uint64(), stanza: try r.stanza())
        case .completed:
            let session = try r.uint64()
            let inSeq = try r.uint32()
            guard let half = CompletionHalf(rawValue: try r.uint8()) else { throw .malformed }
            return .completed(session: session, inSeq: inSeq, half: half, refusal: try r.bool() ? try r.error() : nil)
        case .bound:
            let session = try r.uint64()
            switch try r.uint8() {
            case 0:
                return .bound(
                    session: session,
                    .granted(
                        resource: try r.string(), bind: try r.bindID(), epoch: try r.uint64(),
                        archive: try r.bool() ? try r.metadata() : nil))
            case 1: return .bound(session: session, .refused(try r.error()))
            default: throw .malformed
            }
        case .end: return .end(session: try r.uint64(), try r.reason())
        case .resync: return .resync(owner: try r.uint64(), loops: try r.uint16(), epoch: try r.uint64())
        case .report: return .report(try decodeReport(&r))
        case .reported: return .reported(epoch: try r.uint64(), from: try r.shard())
        case .serves: return .serves(owner: try r.uint64(), epoch: try r.uint64())
        case .commandResult:
            let id = try r.uint64()
            switch try r.uint8() {
            case 0: return .commandResult(id: id, .done(Int(try r.uint32())))
            case 1: return .commandResult(id: id, .exists)
            case 2: return .commandResult(id: id, .notFound)
            case 3: return .commandResult(id: id, .failed(try r.string()))
            case 4: return .commandResult(id: id, .value(try r.bytes()))
            default: throw .malformed
            }
        case .ask: return .ask(id: try r.uint64(), from: try r.shard(), question: try r.bytes())
        case .answer: return .answer(id: try r.uint64(), part: try r.bytes(), last: try r.bool())
        }
    }

    private static func decodeCommand(_ r: inout ByteReader) throws(CodecError) -> AccountCommand {
        switch try r.uint8() {
        case 0: return .create(credentials: try r.bytes())
        case 1: return .setCredentials(try r.bytes())
        case 2: return .delete
        case 3: return .enable
        case 4: return .disable(reason: try r.string())
        case 5: return .kick(resource: try r.optional(), text: try r.optional())
        case 6: return .call(try r.string(), try r.bytes())
        default: throw .malformed
        }
    }

    private static func decodeReport(_ r: inout ByteReader) throws(CodecError) -> SessionReport {
        let epoch = try r.uint64()
        let account = try r.jid()
        let resource = try r.string()
        let session = try r.session()
        let bind = try r.bindID()
        let presence = try r.bool() ? try r.stanza() : nil
        let confirmed = try r.bool()
        let fresh = try r.bool()
        let flags = try r.uint8()
        let device = try r.optional()
        let directed = try r.jids()
        let deliveredThrough = try r.uint64()
        let unacked = try r.numbers()
        return SessionReport(
            epoch: epoch, account: account, resource: resource, session: session, bind: bind, presence: presence,
            presenceConfirmed: confirmed, presenceIsFresh: fresh,
            flags: flags, device: device, directed: directed, deliveredThrough: deliveredThrough, unacked: unacked, acked: try r.numbers(),
            management: try r.bool() ? try r.note() : nil, moves: try r.uint32(), isLeaving: try r.bool())
    }
}

extension ByteWriter {
    fileprivate mutating func kind(_ kind: LetterCodec.Kind) { uint8(kind.rawValue) }
}
