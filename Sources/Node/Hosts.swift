public import Settings
import Stanzas

extension Node {
    /// The settings with the domain of every host and component in the form that addresses are compared in (RFC 7622 §3.2).
    ///
    /// - Throws: `StartFailure` for a domain that no address can have, or that is there twice.
    public static func prepared(_ settings: Settings) throws(StartFailure) -> Settings {
        var settings = settings
        var seen: [String: String] = [:]
        for index in settings.hosts.indices {
            let written = settings.hosts[index].domain
            let domain: String
            do {
                domain = try JID.prepareDomain(written)
            } catch {
                throw StartFailure(
                    "host.domain: \"\(written)\" is no domain that an address can have (\(error)): write it as \"example.org\"")
            }
            if let other = seen[domain] {
                throw StartFailure("host.domain: \"\(other)\" and \"\(written)\" are the same domain: remove one of the two hosts")
            }
            seen[domain] = written
            settings.hosts[index].domain = domain
        }
        for index in settings.components.indices {
            let written = settings.components[index].domain
            guard let domain = try? JID.prepareDomain(written) else {
                throw StartFailure(
                    "component.domain: \"\(written)\" is no domain that an address can have: write it as \"gateway.example.org\"")
            }
            if let other = seen[domain] {
                throw StartFailure("component.domain: \"\(other)\" and \"\(written)\" are the same domain: remove one of the two")
            }
            seen[domain] = written
            settings.components[index].domain = domain
        }
        return settings
    }
}
