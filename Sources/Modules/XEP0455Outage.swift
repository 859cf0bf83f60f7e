public import ServerCore
import Settings
import Stanzas
import XMLStream

/// XEP-0455: Service Outage Status: a form of disco that tells where clients read of an outage when the server itself cannot tell them.
/// What stands there is the operator's; a server that is out is not the one to write it.
public final class OutageStatus: Module {
    public static let name = "outage"
    public static let implements = [XEP(455, "0.4.0", "Service Outage Status (external status)")]
    private let forms: [String: [UInt8]]

    public init(_ context: ModuleContext) {
        forms = Dictionary(
            context.settings.hosts.compactMap { host in Self.form(host.contacts.outage).map { (host.domain, $0) } }
        ) { first, _ in first }
    }

    public func register(in registration: inout Registration) {
        let forms = forms
        registration.form(of: .server) { forms[$0] }
    }

    private static func form(_ addresses: [String]) -> [UInt8]? {
        guard !addresses.isEmpty else { return nil }
        var writer = XMLWriter()
        DataForm(.result, formType: NS.outageStatus, fields: [DataForm.Field("external-status-addresses", .listMulti, values: addresses)])
            .write(into: &writer)
        return writer.bytes
    }
}
