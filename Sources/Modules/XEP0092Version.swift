public import ServerCore
import Stanzas
import XMLStream

/// XEP-0092: Software Version, of the server alone: an account has none.
public final class SoftwareVersion: Module {
    public static let name = "version"
    public static let implements = [XEP(92, "1.1", "Software Version")]
    private static let query = Name("query", NS.version)
    private let software: Software

    public init(_ context: ModuleContext) { software = context.software }

    public func register(in registration: inout Registration) {
        registration.feature(NS.version, of: .server)
        let software = software
        registration.iq(.get, Self.query, to: .server, .serverOfStranger) { _, _ in
            .result { xml in
                xml.element("query", xmlns: NS.version) { xml in
                    xml.element("name", text: software.name)
                    xml.element("version", text: software.version)
                    xml.element("os", text: software.system)
                }
            }
        }
    }
}
