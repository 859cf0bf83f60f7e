// `[[component]]`: reading it, and the rules about it.

extension SettingsReader {
    mutating func readComponents(_ elements: [TOMLNode]) {
        for element in elements {
            guard case .table(let table) = element.value else {
                problem(element.position, "component", "is \(element.kind): write [[component]], once for each component")
                continue
            }
            var component = Settings.Component(domain: "")
            let number = settings.components.count
            var refused = false
            for entry in table.entries {
                guard let setting = SettingsTable.component.first(where: { $0.key == entry.key }) else {
                    unknown(entry, "component.\(entry.key)", among: SettingsTable.component.map(\.key))
                    continue
                }
                guard let value = accept(entry, setting.kind, "component.\(setting.key)") else {
                    // A domain that was refused is named once, not missed once more.
                    if setting.key == "domain" { refused = true }
                    continue
                }
                setting.set(&component, value)
            }
            lines["component \(number)"] = element.position.line
            if component.domain.isEmpty, !refused {
                problem(element.position, "component.domain", "is missing: write domain = \"gateway.example.org\" below [[component]]")
            }
            settings.components.append(component)
        }
    }

    mutating func checkComponents() {
        var seen: [String: Int] = [:]
        for (number, component) in settings.components.enumerated() where !component.domain.isEmpty {
            let place = line("component \(number)")
            if settings.hosts.contains(where: { $0.domain == component.domain }) {
                rule("component.domain", place, "\"\(component.domain)\" is a host: give the component a domain of its own")
            } else if let first = seen[component.domain] {
                rule("component.domain", place, "\"\(component.domain)\" is a component already, in line \(first): keep one")
            }
            seen[component.domain] = place ?? 0
        }
        guard !settings.components.isEmpty else { return }
        if settings.listen.component.isEmpty, !problems.contains(where: { $0.key == "listen.component" }) {
            rule(
                "listen.component", line("listen.component"),
                "no component can connect: write an address, as \"127.0.0.1:5347\", or remove every [[component]]")
        }
        for (index, text) in settings.listen.component.enumerated() where ListenAddress(text)?.isLoopback == false {
            rule(
                "listen.component", line("listen.component \(index)"),
                "\"\(text)\" is reached from other machines, and streams of components know no TLS: listen on 127.0.0.1")
        }
    }
}
