import AdminLanguage
import Checks
import Settings
import Stanzas

/// `check …`, for `martletd --files`: looks, and says what is to be mended.
struct CheckCommands {
    /// Where lines go.
    let say: (_ body: (inout Reply) -> Void) -> Void

    private static let standardFile = "/etc/martlet/martlet.toml"

    func run(_ invocation: Invocation) {
        do throws(Refusal) {
            let settings = try settings(invocation)
            let domain = try domain(invocation, settings)
            say { $0.table("findings", ["check", "subject", "state", "says", "mend"]) }
            var count = (all: 0, mend: 0)
            for check in try checks(invocation, settings, domain) {
                let findings = check()
                count.all += findings.count
                count.mend += findings.count { $0.state == .mend }
                say { reply in
                    for finding in findings {
                        reply.row(
                            .text(finding.check), .text(finding.subject), .text(finding.state.rawValue), .text(finding.says),
                            finding.mend.isEmpty ? .none : .text(finding.mend))
                    }
                }
            }
            say { reply in
                if count.mend == 0 {
                    reply.ok("\(count.all) findings, nothing to mend")
                } else {
                    reply.error(.failed, "\(count.mend) of \(count.all) findings are to be mended")
                }
            }
        } catch {
            say { $0.error(error.code, error.sentence) }
        }
    }

    private struct Refusal: Error {
        var code: ReplyCode
        var sentence: String
    }

    private func settings(_ invocation: Invocation) throws(Refusal) -> Settings {
        let file = invocation.option("config")
        let name = file ?? Self.standardFile
        let loaded: Settings
        do throws(SettingsError) {
            loaded = try Settings.load(file: name).settings
        } catch {
            // The DNS of a domain can be looked at from anywhere.
            if file == nil, invocation.command.name == "check dns", let domain = invocation.text("DOMAIN") {
                var settings = Settings()
                settings.listen.c2s = ["0.0.0.0:5222"]
                settings.listen.c2sDirectTLS = ["0.0.0.0:5223"]
                settings.hosts = [Settings.Host(domain: domain)]
                return settings
            }
            let first = error.problems.first.map { "\($0)" } ?? "\(name) cannot be used"
            throw Refusal(code: .failed, sentence: "\(first)\(file == nil ? "; name the configuration with --config" : "")")
        }
        do throws(StartFailure) {
            return try Node.prepared(loaded)
        } catch {
            throw Refusal(code: .failed, sentence: "\(name): \(error)")
        }
    }

    private func domain(_ invocation: Invocation, _ settings: Settings) throws(Refusal) -> String? {
        guard let text = invocation.command.arguments.isEmpty ? nil : invocation.text("DOMAIN") else { return nil }
        guard let domain = try? JID.prepareDomain(text) else { throw Refusal(code: .invalid, sentence: "\(text) is no domain") }
        let known = settings.hosts.map(\.domain)
        guard invocation.command.name == "check dns" || known.contains(domain) else {
            throw Refusal(
                code: .invalid, sentence: "\(domain) is not a host of this configuration; the hosts are \(known.joined(separator: ", "))")
        }
        return domain
    }

    private func checks(
        _ invocation: Invocation, _ settings: Settings, _ domain: String?
    ) throws(Refusal) -> [() -> [CheckFinding]] {
        let name = invocation.command.path.last ?? ""
        // One domain after the other, so that something is said in between.
        let domains = domain.map { [$0] } ?? settings.hosts.map(\.domain)
        var checks: [() -> [CheckFinding]] = []
        if name == "dns" || name == "all" {
            do throws(DNSCheck.Unusable) {
                var check = try DNSCheck(settings, resolver: invocation.option("resolver"))
                for domain in domains { checks.append { check.run(domain) } }
            } catch {
                throw Refusal(code: .invalid, sentence: error.sentence)
            }
        }
        if name == "certificates" || name == "all" {
            var check = CertificateCheck(settings, anchors: invocation.option("ca"))
            for domain in domains { checks.append { check.run(domain) } }
        }
        if name == "ports" || name == "all" {
            var check = PortCheck(settings)
            checks.append { check.run() }
        }
        if name == "clocks" || name == "all" {
            var check = ClockCheck(settings)
            checks.append { check.run() }
        }
        return checks
    }
}
