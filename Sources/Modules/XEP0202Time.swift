public import ServerCore
import Stanzas
import XMLStream

/// XEP-0202: Entity Time, of the server. It keeps UTC: its local offset says nothing about anybody's clock.
public final class EntityTime: Module {
    public static let name = "time"
    public static let implements = [XEP(202, "2.0", "Entity Time")]
    private static let time = Name("time", NS.time)

    public init(_ context: ModuleContext) {}

    public func register(in registration: inout Registration) {
        registration.feature(NS.time, of: .server)
        registration.iq(.get, Self.time, to: .server, .serverOfStranger) { _, turn in
            let now = turn.now
            return .result { xml in
                xml.element("time", xmlns: NS.time) { xml in
                    xml.element("tzo", text: "+00:00")
                    xml.element("utc", text: DateTime(microseconds: now - now % 1_000_000).description)
                }
            }
        }
    }
}
