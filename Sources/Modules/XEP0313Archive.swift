public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0313: Message Archive Management, for the archives of users; XEP-0441: their preferences; XEP-0359: the ids by which messages
/// are known in them. What is archived is decided where messages are kept, in the account; here the archive is asked.
public final class MessageArchive: Module {
    public static let name = "archive"
    public static let implements = [
        XEP(59, "1.0", "Result Set Management"),
        XEP(313, "1.1.3", "Message Archive Management"),
        XEP(359, "0.7.0", "Unique and Stable Stanza IDs"),
        XEP(424, "0.4.2", "Message Retraction"),
        XEP(441, "0.2.0", "Message Archive Management Preferences"),
    ]
    private static let query = Name("query", NS.archive)
    private static let metadata = Name("metadata", NS.archive)
    private static let preferences = Name("prefs", NS.archive)

    public init(_ context: ModuleContext) {}

    public func register(in registration: inout Registration) {
        // §7: on the JIDs that have an archive. The business rules of stanza ids hold also where nothing is archived.
        registration.feature(NS.stanzaID, of: .server, .ownAccount)
        for feature in [NS.archive, NS.archiveExtended, NS.archiveGroupchatField] {
            registration.feature(feature, of: .ownAccount) { $0.archive }
        }
        // XEP-0424 §2, §4.
        registration.feature(NS.retraction, of: .server, .ownAccount) { $0.archive }
        registration.feature(NS.retractionTombstone, of: .ownAccount) { $0.archive }

        registration.iq(.get, Self.query, to: .ownAccount) { _, turn in
            Self.ifArchived(turn) { .result(ArchiveForm.write) }
        }
        registration.iq(.set, Self.query, to: .ownAccount) { request, turn in
            Self.ifArchived(turn) { Self.answer(request, turn) }
        }
        registration.iq(.get, Self.metadata, to: .ownAccount) { request, turn in
            Self.ifArchived(turn) { Self.tellEnds(request, turn) }
        }
        registration.iq(.get, Self.preferences, to: .ownAccount) { _, turn in
            Self.ifArchived(turn) { Self.tell(turn.account.archivePreferences) }
        }
        registration.iq(.set, Self.preferences, to: .ownAccount) { request, turn in
            Self.ifArchived(turn) { Self.setPreferences(request, turn) }
        }
        for (type, name) in [
            (.get, Self.query), (.set, Self.query), (.get, Self.metadata), (.get, Self.preferences), (.set, Self.preferences),
        ]
            as [(StanzaType, Name)]
        {
            // §8.1: to whom the account shows itself the archive says no.
            registration.iq(type, name, to: .otherAccount) { _, _ in .error(StanzaError(.forbidden)) }
        }
    }

    private static func ifArchived(_ turn: Turn, _ reply: () -> IQReply) -> IQReply {
        turn.host()?.archive == true ? reply() : .error(StanzaError(.serviceUnavailable, text: "This server keeps no archive"))
    }

    // MARK: Queries

    private static func answer(_ request: Request, _ turn: Turn) -> IQReply {
        let query: ArchiveQuery
        do throws(StanzaError) { query = try ArchiveForm.query(request.payload) } catch { return .error(error) }
        let answer = turn.later(request)
        turn.account.sendArchivePage(query, to: request.from) { result in
            switch result {
            case .success(let end):
                answer.reply(
                    .result { xml in
                        xml.element("fin", xmlns: NS.archive, ("complete", end.isComplete ? "true" : nil)) { end.page.write(into: &$0) }
                    })
            case .failure(let error): answer.reply(.error(error))
            }
        }
        return .later
    }

    /// §5.
    private static func tellEnds(_ request: Request, _ turn: Turn) -> IQReply {
        let answer = turn.later(request)
        turn.account.readArchiveEnds { result in
            switch result {
            case .success(let ends):
                answer.reply(.result { ArchiveMetadata(ends).write(into: &$0) })
            case .failure(let error): answer.reply(.error(error))
            }
        }
        return .later
    }

    // MARK: Preferences (XEP-0441 §2.1)

    private static func setPreferences(_ request: Request, _ turn: Turn) -> IQReply {
        var preferences = ArchivePreferences()
        guard let standard = ArchivePreferences.Default.allCases.first(where: { $0.name == request.payload["default"] }) else {
            return .error(StanzaError(.badRequest, text: "The attribute default must be always, never or roster"))
        }
        preferences.standard = standard
        for list in request.payload.children where list.namespace == NS.archive {
            var jids: [JID] = []
            for item in list.children where item.local == "jid" && item.namespace == NS.archive {
                guard let jid = try? JID(item.text.trimmed) else {
                    return .error(StanzaError(.jidMalformed, text: "\(item.text) is no address"))
                }
                if !jids.contains(jid) { jids.append(jid) }
            }
            switch list.local {
            case "always": preferences.always = jids
            case "never": preferences.never = jids
            default: break
            }
        }
        guard preferences.always.count + preferences.never.count <= ArchivePreferences.bound else {
            return .error(StanzaError(.policyViolation, text: "At most \(ArchivePreferences.bound) addresses fit in both lists"))
        }
        turn.account.setArchivePreferences(preferences)
        return tell(preferences)
    }

    private static func tell(_ preferences: ArchivePreferences) -> IQReply {
        .result { xml in
            xml.element("prefs", xmlns: NS.archive, ("default", preferences.standard.name)) { xml in
                for (name, jids) in [("always", preferences.always), ("never", preferences.never)] {
                    if jids.isEmpty {
                        xml.empty(name)
                    } else {
                        xml.element(name) { for jid in jids { $0.element("jid", text: jid.description) } }
                    }
                }
            }
        }
    }
}

extension String {
    /// Without white space at both ends.
    fileprivate var trimmed: String {
        var text = Substring(self)
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
