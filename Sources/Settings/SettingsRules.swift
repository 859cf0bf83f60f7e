// Rules between settings: each value is good by itself, together they are not.

extension SettingsReader {
    mutating func checkRules() {
        if settings.hosts.isEmpty, !problems.contains(where: { $0.key?.hasPrefix("host") == true }) {
            rule("host", nil, "there is no host: write [[host]] and below it domain = \"example.org\"")
        }
        checkOrder(
            "limits.stanza_bytes_before_auth", settings.limits.stanzaBytesBeforeAuth, "limits.stanza_bytes", settings.limits.stanzaBytes)
        checkOrder("limits.depth_before_auth", settings.limits.depthBeforeAuth, "limits.depth", settings.limits.depth)
        checkOrder("limits.attributes_before_auth", settings.limits.attributesBeforeAuth, "limits.attributes", settings.limits.attributes)
        checkOrder("limits.stanza_bytes", settings.limits.stanzaBytes, "limits.session_queue_bytes", settings.limits.sessionQueueBytes)
        checkListeners()
        checkMonitoring()
        for number in settings.hosts.indices { checkHost(number) }
        checkComponents()
        if settings.debug.manualClock {
            warn(
                "debug.manual_clock", line("debug.manual_clock"),
                "is on: whoever reaches the admin socket can move the clock of the protocol. For tests only")
        }
    }

    private mutating func checkOrder(_ lowKey: String, _ low: Int, _ highKey: String, _ high: Int) {
        guard low > high else { return }
        // The line of the one that was written; of the second, when both were.
        let place = max(line(lowKey) ?? 0, line(highKey) ?? 0)
        rule(lowKey, place == 0 ? nil : place, "\(low) is more than \(highKey), which is \(high): lower it, or raise \(highKey)")
    }

    // MARK: Listeners

    private struct Listener {
        var key: String
        var text: String
        var line: Int?
        var address: ListenAddress
    }

    private func listeners() -> [Listener] {
        var all: [(String, [String])] = [("listen.c2s", settings.listen.c2s), ("listen.c2s_direct_tls", settings.listen.c2sDirectTLS)]
        if !settings.components.isEmpty { all.append(("listen.component", settings.listen.component)) }
        all += settings.listen.c2sOfNode.sorted { $0.key < $1.key }.map { ("node.\($0.key).c2s", $0.value) }
        return all.flatMap { key, texts in
            texts.enumerated().compactMap { index, text in
                ListenAddress(text).map { Listener(key: key, text: text, line: line("\(key) \(index)"), address: $0) }
            }
        }
    }

    /// Every address that clients and components may connect to, with the key it stands under.
    var listenAddresses: [(key: String, address: ListenAddress)] { listeners().map { ($0.key, $0.address) } }

    private mutating func checkListeners() {
        let all = listeners()
        // A refused list is empty here; then its own problem says enough.
        if all.isEmpty, !problems.contains(where: { $0.key == "listen.c2s" || $0.key == "listen.c2s_direct_tls" }) {
            rule("listen.c2s", line("listen.c2s"), "nothing is listened on: write an address, as \"127.0.0.1:5222\"")
        }
        var seen: [ListenAddress: Listener] = [:]
        for listener in all {
            if let first = seen[listener.address] {
                rule(
                    listener.key, listener.line,
                    "\"\(listener.text)\" stands in \(first.key) too\(first.line.map { ", in line \($0)" } ?? ""): give one of them another port"
                )
            }
            seen[listener.address] = listener
            guard listener.key != "listen.component" else { continue }
            guard !listener.address.isLoopback || listener.key == "listen.c2s_direct_tls" else { continue }
            let bare = settings.hosts.filter { $0.certificate.isEmpty && !$0.domain.isEmpty }.map { "\"\($0.domain)\"" }
            guard !bare.isEmpty else { continue }
            let hosts = "\(bare.count == 1 ? "host" : "hosts") \(bare.joined(separator: ", "))"
            if listener.key == "listen.c2s_direct_tls" {
                rule(
                    listener.key, listener.line,
                    "\"\(listener.text)\" needs TLS, and \(hosts) has no certificate: write certificate and key below [[host]]")
            } else {
                rule(
                    listener.key, listener.line,
                    "\"\(listener.text)\" is reached from other machines, and \(hosts) has no certificate: write certificate and key below [[host]], or listen on 127.0.0.1"
                )
            }
        }
    }

    // MARK: Hosts

    private mutating func checkHost(_ number: Int) {
        let host = settings.hosts[number]
        guard !host.domain.isEmpty else { return }
        let name = "\"\(host.domain)\""
        let start = line("host \(number)")
        if host.certificate.isEmpty != host.key.isEmpty {
            let (there, missing) = host.key.isEmpty ? ("certificate", "key") : ("key", "certificate")
            rule("host.\(there)", line("host \(number) \(there)"), "\(name) has a \(there) and no \(missing): write both")
        }
        if !host.requireTLS, let open = listeners().first(where: { !$0.address.isLoopback }) {
            rule(
                "host.require_tls", line("host \(number) require_tls"),
                "false lets passwords of \(name) cross the network in the clear, by \"\(open.text)\": write true, or listen on 127.0.0.1")
        }
        if host.requireTLS, host.certificate.isEmpty, host.key.isEmpty {
            warn(
                "host.certificate", start,
                "\(name) requires TLS and has no certificate: nobody can log in. Write certificate and key, or require_tls = false on loopback"
            )
        }
    }

    // MARK: Sentences

    func line(_ key: String) -> Int? { lines[key] }

    mutating func rule(_ key: String, _ line: Int?, _ sentence: String) {
        problems.append(SettingsProblem(file: file, line: line, column: nil, key: key, sentence: sentence))
    }

    mutating func warn(_ key: String, _ line: Int?, _ sentence: String) {
        warnings.append(SettingsProblem(file: file, line: line, column: nil, key: key, sentence: sentence))
    }
}
