public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0191: Blocking Command. The requests; what is blocked is the account's business (`AccountBlocking`). Blocking is polite (§4): no
/// subscription ends by it.
public final class Blocking: Module {
    public static let name = "blocking"
    public static let implements = [XEP(191, "1.3", "Blocking Command")]
    private static let blocklist = Name("blocklist", NS.blocking)
    private static let block = Name("block", NS.blocking)
    private static let unblock = Name("unblock", NS.blocking)
    private static let item = Name("item", NS.blocking)
    private let takesReports: Bool

    public init(_ context: ModuleContext) { takesReports = context.settings.limits.reports > 0 }

    public func register(in registration: inout Registration) {
        registration.feature(NS.blocking, of: .server)
        registration.iq(.get, Self.blocklist, to: .ownAccount) { request, turn in
            turn.account.followBlocklist(request.from)
            return .result { xml in
                let addresses = turn.account.blockedAddresses
                if addresses.isEmpty { return xml.empty("blocklist", xmlns: NS.blocking) }
                xml.element("blocklist", xmlns: NS.blocking) { xml in
                    for address in addresses { xml.empty("item", ("jid", address)) }
                }
            }
        }
        let takesReports = takesReports
        registration.iq(.set, Self.block, to: .ownAccount) { request, turn in
            let addresses: [JID]
            switch Self.addresses(in: request) {
            case .success(let found): addresses = found
            case .failure(let error): return .error(error)
            }
            // §3.3: an empty block command is nothing.
            guard !addresses.isEmpty else { return .error(StanzaError(.badRequest)) }
            do throws(Account.BlockRefusal) {
                try turn.account.block(addresses, isRepeat: turn.isRepeat)
            } catch {
                return .error(Self.error(error))
            }
            let push = Self.payload("block", addresses)
            let reports = takesReports ? Reports.reports(in: request, turn) : []
            guard !reports.isEmpty else {
                turn.answer(request)
                turn.account.pushBlocklist(push)
                return .sent
            }
            // The answer says that the reports are kept too. One that cannot be leaves the block as it is (XEP-0377 §6).
            let account = turn.account
            let answer = turn.later(request)
            Reports.send(reports, turn) {
                answer.reply(.done)
                account.pushBlocklist(push)
            }
            return .later
        }
        registration.iq(.set, Self.unblock, to: .ownAccount) { request, turn in
            switch Self.addresses(in: request) {
            case .failure(let error): return .error(error)
            case .success(let addresses):
                // §3.5: without an item, all.
                turn.account.unblock(addresses.isEmpty ? nil : addresses, isRepeat: turn.isRepeat)
                turn.answer(request)
                turn.account.pushBlocklist(Self.payload("unblock", addresses))
                return .sent
            }
        }
    }

    /// The addresses of a command. It has nothing but items (§10.1).
    private static func addresses(in request: Request) -> Result<[JID], StanzaError> {
        var addresses: [JID] = []
        for child in request.payload.children {
            guard child.is(item), let text = child["jid"] else { return .failure(StanzaError(.badRequest)) }
            guard let address = try? JID(text) else { return .failure(StanzaError(.jidMalformed)) }
            if !addresses.contains(address) { addresses.append(address) }
        }
        return .success(addresses)
    }

    private static func payload(_ name: String, _ addresses: [JID]) -> [UInt8] {
        var xml = XMLWriter()
        if addresses.isEmpty {
            xml.empty(name, xmlns: NS.blocking)
        } else {
            xml.element(name, xmlns: NS.blocking) { xml in for address in addresses { xml.empty("item", ("jid", address.description)) } }
        }
        return xml.bytes
    }

    private static func error(_ refusal: Account.BlockRefusal) -> StanzaError {
        switch refusal {
        case .ownAddress: StanzaError(.notAllowed, text: "Neither your own address nor your own server can be blocked")
        case .full(let bound): StanzaError(.resourceConstraint, text: "The list holds \(bound) addresses at most")
        }
    }
}
