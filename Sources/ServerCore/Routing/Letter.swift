public import Stanzas

/// All that ever crosses between loops or nodes. FIFO per pair of loops; the same type whether the other loop is in this
/// process or not.
///
/// What is seldom sent stands in a box of its own, so that what is sent with every stanza is small.
public enum Letter: Sendable {
    // To a home.
    case submit(account: JID, ticket: Ticket, stanza: Stanza)
    /// `to` is the bare address; the stanza has the full one.
    case route(to: JID, stanza: Stanza, ticket: Ticket?)
    /// One presence for many local contacts that share a loop.
    case fanOut(to: [JID], stanza: Stanza)
    indirect case bind(BindRequest)
    indirect case unbind(account: JID, session: SessionRef, bind: BindID, reason: Departure, unacked: [UInt64])
    case acked(account: JID, session: SessionRef, messages: [UInt64])
    /// Stanzas that a session could not hand to its client any more: chosen anew, or bounced. Those that are owed are in the store and
    /// need no letter.
    indirect case returned(account: JID, session: SessionRef, stanzas: [Stanza])
    indirect case command(CommandLetter)
    /// A session says whether its client is active (XEP-0352).
    case activity(account: JID, session: SessionRef, isActive: Bool)
    /// A session wrote its client the error for a message that the account copied to the others.
    indirect case refused(account: JID, session: SessionRef, error: Stanza)
    /// A session says how its stream management stands.
    indirect case managed(account: JID, session: SessionRef, ManagementNote)
    indirect case resume(ResumeRequest)
    /// A session on its way to another loop; nil when the old one does not know it.
    indirect case moved(account: JID, from: SessionRef, to: SessionRef, state: SessionState?)

    // To a session's shard.
    case deliver(session: UInt64, epoch: UInt64, message: UInt64, stanza: Stanza)
    case completed(session: UInt64, inSeq: UInt32, half: CompletionHalf, refusal: StanzaError?)
    indirect case bound(session: UInt64, BindAnswer)
    case end(session: UInt64, EndReason)
    /// The session's client is at another loop: it is to be handed over.
    indirect case detach(session: UInt64, account: JID, to: SessionRef, epoch: UInt64)
    /// It is not handed over after all.
    case stay(session: UInt64, epoch: UInt64)
    /// The other loop has it.
    case forget(session: UInt64)
    /// The session that a client here asked for.
    indirect case adopt(session: UInt64, from: SessionRef, epoch: UInt64, state: SessionState)
    indirect case resumeRefused(session: UInt64, ResumeRefusal)
    /// A node that leaves gives one of its sessions away.
    indirect case shelter(ShelterRequest)
    /// A node takes no more sessions, because it leaves; or does so again.
    case leaves(node: UInt64, Bool)

    // Between shards: takeover and administration.
    case resync(owner: UInt64, loops: UInt16, epoch: UInt64)
    indirect case report(SessionReport)
    case reported(epoch: UInt64, from: ShardAddress)
    case serves(owner: UInt64, epoch: UInt64)
    indirect case commandResult(id: UInt64, CommandResult)
    case ask(id: UInt64, from: ShardAddress, question: [UInt8])
    case answer(id: UInt64, part: [UInt8], last: Bool)
}

extension Letter {
    /// Whether it is for the home of an account.
    var isForHome: Bool {
        switch self {
        case .submit, .route, .fanOut, .bind, .unbind, .acked, .returned, .command, .activity, .refused, .managed, .resume, .moved: true
        case .deliver, .completed, .bound, .end, .detach, .stay, .forget, .adopt, .resumeRefused, .shelter, .leaves: false
        case .resync, .report, .reported, .serves, .commandResult, .ask, .answer: false
        }
    }

    /// Whether it is about where a session is, and stands on nothing that is stored.
    var isOfMove: Bool {
        switch self {
        case .detach, .stay: true
        default: false
        }
    }
}

/// Which side of a stanza's way is done. A stanza is handled when the sender's home said so and, where that expects it, the
/// receiver's home too.
public enum CompletionHalf: UInt8, Sendable {
    /// The sender's home is done and nobody else has a part in it.
    case whole = 0
    /// The sender's home is done; the receiver's answers for itself.
    case own = 1
    /// The receiver's home is done.
    case theirs = 2
}

/// Why a session leaves its account.
public enum Departure: UInt8, Sendable {
    case closed = 0, lost = 1, ended = 2
}

public struct BindRequest: Sendable {
    public var account: JID
    /// The resource the client asked for; nil: the server makes one (RFC 6120 §7.6).
    public var resource: String?
    public var session: SessionRef
    public var terms: BindTerms
    public init(account: JID, resource: String?, session: SessionRef, terms: BindTerms = BindTerms()) {
        self.account = account
        self.resource = resource
        self.session = session
        self.terms = terms
    }
}

public enum BindAnswer: Sendable {
    /// - `archive`: its state at this moment, where the terms ask for it and it could be read.
    case granted(resource: String, bind: BindID, epoch: UInt64, archive: ArchiveMetadata? = nil)
    case refused(StanzaError)
}

/// What a session tells a new home about itself.
public struct SessionReport: Sendable {
    public var epoch: UInt64
    public var account: JID
    public var resource: String
    public var session: SessionRef
    public var bind: BindID
    /// The last presence the session sent without an address, if it is available.
    public var presence: Stanza?
    /// Whether the home said that presence was broadcast.
    public var presenceConfirmed: Bool
    /// Whether it changed so lately, to available or from it, that some may not have heard of it.
    public var presenceIsFresh: Bool
    /// Bits of `Resource.Flags`.
    public var flags: UInt8
    /// `BindTerms.device`.
    public var device: String?
    /// Full or bare JIDs that got directed presence.
    public var directed: [JID]
    /// Highest message number that reached the session.
    public var deliveredThrough: UInt64
    /// Messages handed to the client and not acknowledged by it.
    public var unacked: [UInt64]
    /// Messages it acknowledged lately: the old home may have died before it knew.
    public var acked: [UInt64]
    public var management: ManagementNote?
    /// How often it changed its loop.
    public var moves: UInt32 = 0
    /// It was to be handed to another loop.
    public var isLeaving = false
}

/// An administrator's write, carried to the home of the account it concerns and applied once.
public struct CommandLetter: Sendable {
    /// Unique for the asking node's life.
    public var id: UInt64
    public var replyTo: ShardAddress
    public var account: JID
    public var command: AccountCommand
}

/// Writes to an account that do not come from its own sessions.
public enum AccountCommand: Sendable, Equatable {
    case create(credentials: [UInt8])
    case setCredentials([UInt8])
    case delete
    case enable
    case disable(reason: String)
    case kick(resource: String?, text: String?)
    /// What a module does with the account at its home: the name it registered the call under, and its argument. It may be asked again
    /// after a takeover.
    case call(String, [UInt8])
}

public enum CommandResult: Sendable, Equatable {
    /// Done; how many sessions or things it concerned.
    case done(Int)
    case exists
    case notFound
    case failed(String)
    /// What a call answers.
    case value([UInt8])
}
