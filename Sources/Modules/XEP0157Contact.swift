public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0157: Contact Addresses for XMPP Services: a form of disco that tells where those who run a host are reached.
public final class ContactAddresses: Module {
    public static let name = "contact"
    public static let implements = [XEP(157, "1.1.1", "Contact Addresses for XMPP Services")]
    private let forms: [String: [UInt8]]

    public init(_ context: ModuleContext) {
        forms = Dictionary(
            context.settings.hosts.compactMap { host in Self.form(host.contacts).map { (host.domain, $0) } }
        ) { first, _ in first }
    }

    public func register(in registration: inout Registration) {
        let forms = forms
        registration.form(of: .server) { forms[$0] }
    }

    /// A host without addresses has no form.
    private static func form(_ contacts: Settings.Contacts) -> [UInt8]? {
        let fields = [
            ("abuse-addresses", contacts.abuse), ("admin-addresses", contacts.admin), ("feedback-addresses", contacts.feedback),
            ("sales-addresses", contacts.sales), ("security-addresses", contacts.security), ("status-addresses", contacts.status),
            ("support-addresses", contacts.support),
        ]
        .filter { !$0.1.isEmpty }.map { DataForm.Field($0.0, .listMulti, values: $0.1) }
        guard !fields.isEmpty else { return nil }
        var writer = XMLWriter()
        DataForm(.result, formType: NS.serverInfo, fields: fields).write(into: &writer)
        return writer.bytes
    }
}
