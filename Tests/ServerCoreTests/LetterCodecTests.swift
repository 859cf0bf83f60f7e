@testable import ServerCore
import Stanzas
import TestKit
import Testing

@Suite struct LetterCodecTests {
    static let everyKind: [Letter] = {
        guard let romeo = try? JID("romeo@montague.lit/orchard"), let juliet = try? JID("juliet@capulet.lit") else { return [] }
        let shard = ShardAddress(node: 0xFEED_0001, loop: 3)
        let session = SessionRef(shard: shard, id: 77)
        let ticket = Ticket(session: session, inSeq: 4_294_967_295, isRepeat: true, settled: 12)
        let stanza = Stanza(
            kind: .message, type: .chat, id: "m1", from: romeo, to: juliet, lang: "it",
            payload: Payload(written: Array("<body>ciao &amp; addio</body>".utf8)))
        let bind = BindID(epoch: 4, counter: 9)
        var error = StanzaError(.gone, type: .cancel, text: "moved")
        error.address = "xmpp:juliet@verona.lit"
        let report = SessionReport(
            epoch: 4, account: juliet, resource: "balcony", session: session, bind: bind,
            presence: Stanza(kind: .presence, type: .none, from: juliet, payload: .empty), presenceConfirmed: true, presenceIsFresh: true,
            flags: 3, device: "d4565fa7-4d72-4749-b3d3-740edbf87770",
            directed: [romeo], deliveredThrough: 8, unacked: [7, 8], acked: [5])
        let commands: [AccountCommand] = [
            .create(credentials: [1, 2]), .setCredentials([]), .delete, .enable, .disable(reason: "abuse"),
            .kick(resource: nil, text: "go"),
        ]
        let ends: [EndReason] = [
            .closed, .lost, .replaced, .kicked(text: nil), .accountGone, .credentialsChanged, .overrun,
            .protocolError(StreamError(.notWellFormed, text: "x")), .shutdown, .nodeLost, .unknownToHome, .expired, .hostGone,
        ]
        let results: [CommandResult] = [.done(3), .exists, .notFound, .failed("why")]
        return [
            .submit(account: juliet, ticket: ticket, stanza: stanza), .route(to: romeo, stanza: stanza, ticket: ticket),
            .route(to: romeo, stanza: stanza, ticket: nil), .fanOut(to: [romeo, juliet], stanza: stanza),
            .bind(BindRequest(account: juliet, resource: nil, session: session)),
            .bind(
                BindRequest(
                    account: juliet, resource: "r", session: session,
                    terms: BindTerms(device: "d", replacesDevice: true, carbons: true, readsArchive: true))),
            .unbind(account: juliet, session: session, bind: bind, reason: .lost, unacked: [1, .max]),
            .acked(account: juliet, session: session, messages: []),
            .activity(account: juliet, session: session, isActive: true),
            .returned(account: juliet, session: session, stanzas: [stanza, stanza]),
            .refused(account: juliet, session: session, error: stanza),
            .deliver(session: 1, epoch: 2, message: 3, stanza: stanza), .completed(session: 1, inSeq: 2, half: .theirs, refusal: error),
            .completed(session: 1, inSeq: 2, half: .own, refusal: nil), .bound(session: 1, .granted(resource: "r", bind: bind, epoch: 4)),
            .bound(session: 1, .granted(resource: "r", bind: bind, epoch: 4, archive: ArchiveMetadata(nil))),
            .bound(
                session: 1,
                .granted(
                    resource: "r", bind: bind, epoch: 4,
                    archive: ArchiveMetadata(ArchiveEnds(first: .init(id: "a", stamp: -1), last: .init(id: "b", stamp: .max))))),
            .bound(session: 1, .refused(error)), .resync(owner: 1, loops: 2, epoch: 3), .report(report), .reported(epoch: 3, from: shard),
            .serves(owner: 1, epoch: 3), .leaves(node: 7, true),
            .shelter(ShelterRequest(account: juliet, id: "sm", session: session, isExpected: true)),
            .resume(ResumeRequest(account: juliet, previd: "sm", session: session)),
            .resume(ResumeRequest(account: juliet, previd: "sm", session: session, sheltered: session)),
            .managed(
                account: juliet, session: session,
                ManagementNote(id: "sm", base: 1, handled: 2, isDetached: true, isExpected: true)), .ask(id: 1, from: shard, question: [9]),
            .answer(id: 1, part: [8, 8], last: true),
        ]
            + commands.map { .command(CommandLetter(id: 6, replyTo: shard, account: juliet, command: $0)) }
            + ends.map { .end(session: 4, $0) } + results.map { .commandResult(id: 5, $0) }
    }()

    private func bytes(_ letters: [Letter]) -> [[UInt8]] { LetterCodec.batches(letters).map(\.1) }

    @Test func whatIsWrittenIsRead() throws {
        #expect(Self.everyKind.count == 52)
        for letter in Self.everyKind {
            let written = try #require(bytes([letter]).first)
            let read = try LetterCodec.decode(written)
            #expect(read.count == 1)
            #expect(bytes(read) == [written])
            #expect("\(read)".prefix(40) == "\([letter])".prefix(40))
        }
        let all = bytes(Self.everyKind)
        #expect(try all.flatMap { try LetterCodec.decode($0) }.count == Self.everyKind.count)
    }

    /// Cut short or bent, it is refused or read as something else; it never traps.
    @Test func nothingTraps() throws {
        var chance = Chance(seed: 4)
        for letter in Self.everyKind {
            let written = try #require(bytes([letter]).first)
            for end in written.indices { _ = try? LetterCodec.decode(Array(written[..<end])) }
            #expect(throws: (any Error).self) { try LetterCodec.decode(Array(written.dropLast())) }
            for _ in 0..<60 {
                var bent = written
                for _ in 0...chance.below(3) { bent[chance.below(bent.count)] = UInt8(chance.below(256)) }
                _ = try? LetterCodec.decode(bent)
            }
        }
        for length in 0..<200 { _ = try? LetterCodec.decode((0..<length).map { _ in UInt8(chance.below(256)) }) }
    }

    @Test func stanzasAndReadsOfTheAdministratorTakeDifferentLanes() {
        let letters = [Self.everyKind[0], .ask(id: 1, from: ShardAddress(node: 1, loop: 0), question: []), Self.everyKind[1]]
        #expect(LetterCodec.batches(letters).map(\.0) == [.stanza, .bulk, .stanza])
    }
}
