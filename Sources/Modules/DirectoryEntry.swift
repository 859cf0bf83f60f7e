import ServerCore
import Stanzas
import Store
import XMLStream

/// What the directory of a host tells of one of its users (XEP-0055): what the vCard says, kept with the host as long as the user
/// wants to be listed.
struct DirectoryEntry: Equatable {
    /// The fields of §7.2, in the order of the schema.
    static let fields = [("first", "Given Name"), ("last", "Family Name"), ("nick", "Nickname"), ("email", "Email Address")]
    static let list = "search.list"
    static let unlist = "search.unlist"
    /// Bytes of one field: the directory is read from end to end.
    private static let bound = 256

    /// The account, which may be gone and its name somebody else's by now.
    var number: UInt64
    /// One value for each of the fields, empty for none.
    var values: [String]

    /// - Parameter card: a vCard as it is kept.
    init(_ card: [UInt8]?, of account: Account) {
        number = account.record?.number ?? 0
        values = [String](repeating: "", count: Self.fields.count)
        guard let card, let vCard = try? Element.parse(card) else { return }
        func text(_ path: String...) -> String {
            var element: Element? = vCard
            for name in path { element = element?.first(local: name, namespace: NS.vCard) }
            var text = ""
            for character in element?.text ?? "" {
                guard text.utf8.count + character.utf8.count <= Self.bound else { break }
                text.append(character)
            }
            return text
        }
        values = [text("N", "GIVEN"), text("N", "FAMILY"), text("NICKNAME"), text("EMAIL", "USERID")]
    }

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let number = try? reader.uint64() else { return nil }
        self.number = number
        values = []
        for _ in Self.fields {
            guard let value = try? reader.string() else { return nil }
            values.append(value)
        }
    }

    private var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.uint64(number)
        for value in values { writer.string(value) }
        return writer.bytes
    }

    /// Whether a user asked to be listed.
    static func isListed(_ account: Account) -> Bool { account.items(.listed)[""] != nil }

    /// Tells the host; `then` gets the answer for whoever asked for it.
    func list(_ turn: Turn, then: @escaping (IQReply) -> Void) {
        var argument = ByteWriter()
        argument.string(turn.account.jid.description)
        argument.bytes(bytes)
        Self.tell(.call(Self.list, argument.bytes), turn, then: then)
    }

    /// Takes a user off the list.
    static func unlist(_ turn: Turn, then: @escaping (IQReply) -> Void) {
        tell(.call(unlist, Array(turn.account.jid.description.utf8)), turn, then: then)
    }

    private static func tell(_ command: AccountCommand, _ turn: Turn, then: @escaping (IQReply) -> Void) {
        turn.command(command, for: turn.account.jid.domainJID) { result in
            if case .failed = result {
                then(.error(StanzaError(.internalServerError, type: .wait, text: "The directory is out of reach; try again")))
            } else {
                then(.done)
            }
        }
    }
}
