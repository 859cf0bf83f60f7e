/// Makes settings of a TOML document, and collects everything that is wrong with it on the way.
struct SettingsReader {
    let file: String
    /// The directory relative paths count from; empty: they stay relative.
    let base: String
    var settings = Settings()
    var problems: [SettingsProblem] = []
    var warnings: [SettingsProblem] = []
    /// The lines of keys, for the rules between settings: `limits.depth`, `host 1 key`, `listen.c2s 0`.
    var lines: [String: Int] = [:]

    init(file: String, base: String) {
        self.file = file
        self.base = base
        settings.node.directory = resolve(settings.node.directory)
        settings.backup.directory = resolve(settings.backup.directory)
    }

    mutating func read(_ text: String) {
        let root: TOMLTable
        do {
            root = try TOMLParser.parse(text)
        } catch {
            problems.append(
                SettingsProblem(file: file, line: error.position.line, column: error.position.column, key: nil, sentence: error.sentence))
            return
        }
        let tables = SettingsTable.tables.map(\.name)
        for entry in root.entries {
            switch entry.node.value {
            case .array(let elements) where entry.key == "host": readHosts(elements, entry)
            case .array(let elements) where entry.key == "component": readComponents(elements)
            case .table(let table) where tables.contains(entry.key): readTable(table, named: entry.key)
            default: refuseTopLevel(entry, tables)
            }
        }
        checkRules()
        problems.sort { ($0.line ?? .max) < ($1.line ?? .max) }
    }

    private mutating func refuseTopLevel(_ entry: TOMLTable.Entry, _ tables: [String]) {
        if entry.key == "host" {
            problem(entry.position, entry.key, "is \(entry.node.kind): write [[host]] with two brackets, once for each host")
        } else if entry.key == "component" {
            problem(entry.position, entry.key, "is \(entry.node.kind): write [[component]] with two brackets, once for each component")
        } else if tables.contains(entry.key) {
            problem(entry.position, entry.key, "is \(entry.node.kind): write [\(entry.key)] and its keys below")
        } else if let home = SettingsTable.all.first(where: { $0.name == entry.key }) {
            problem(entry.position, entry.key, "is not known here: it belongs below [\(home.table)]")
        } else {
            unknown(entry, entry.key, among: tables + ["host", "component"])
        }
    }

    private mutating func readTable(_ table: TOMLTable, named name: String) {
        let known = SettingsTable.all.filter { $0.table == name }
        for entry in table.entries {
            if let setting = known.first(where: { $0.name == entry.key }) {
                guard let value = accept(entry, setting.kind, setting.key) else { continue }
                setting.set(&settings, value)
                lines[setting.key] = entry.position.line
            } else if name == "node", case .table(let own) = entry.node.value {
                readNode(own, entry)
            } else {
                unknown(entry, "\(name).\(entry.key)", among: known.map(\.name))
            }
        }
    }

    /// `[node.NAME]`: the listeners of one node, where it is watched, and where its clients come back to.
    private mutating func readNode(_ table: TOMLTable, _ header: TOMLTable.Entry) {
        guard Settings.isNodeName(header.key) else {
            problem(header.position, "node.\(header.key)", "is no name of a node: write \(SettingShape.nodeName.words)")
            return
        }
        for entry in table.entries {
            let key = "node.\(header.key).\(entry.key)"
            switch entry.key {
            case "c2s":
                guard case .texts(let addresses)? = accept(entry, .texts(.address), key) else { continue }
                settings.listen.c2sOfNode[header.key] = addresses
            case "http":
                guard case .texts(let addresses)? = accept(entry, .texts(.endpoint), key) else { continue }
                settings.listen.httpOfNode[header.key] = addresses
            case "location":
                guard case .text(let location)? = accept(entry, .text(.location), key) else { continue }
                settings.sessions.locationOfNode[header.key] = location
            default:
                unknown(entry, key, among: ["c2s", "http", "location"])
                continue
            }
            lines[key] = entry.position.line
        }
    }

    private mutating func readHosts(_ elements: [TOMLNode], _ header: TOMLTable.Entry) {
        var seen: [String: Int] = [:]
        for element in elements {
            guard case .table(let table) = element.value else {
                problem(element.position, "host", "is \(element.kind): write [[host]], once for each host")
                continue
            }
            var host = Settings.Host(domain: "")
            let number = settings.hosts.count
            for entry in table.entries {
                guard let setting = SettingsTable.host.first(where: { $0.key == entry.key }) else {
                    unknown(entry, "host.\(entry.key)", among: SettingsTable.host.map(\.key))
                    continue
                }
                guard let value = accept(entry, setting.kind, "host.\(setting.key)") else {
                    // A domain that was refused is named once, not missed once more.
                    if setting.key == "domain" { lines["host \(number) refused"] = entry.position.line }
                    continue
                }
                setting.set(&host, value)
                lines["host \(number) \(setting.key)"] = entry.position.line
            }
            lines["host \(number)"] = element.position.line
            if host.domain.isEmpty {
                if lines["host \(number) refused"] == nil {
                    problem(element.position, "host.domain", "is missing: write domain = \"example.org\" below [[host]]")
                }
                lines["host \(number) refused"] = nil
            } else if let first = seen[host.domain] {
                problem(element.position, "host.domain", "\"\(host.domain)\" is a host already, in line \(first): keep one")
            } else {
                seen[host.domain] = element.position.line
            }
            settings.hosts.append(host)
        }
    }

    // MARK: Values

    /// The value of a key, when it is one of its kind; else a problem.
    mutating func accept(
        _ entry: TOMLTable.Entry, _ kind: SettingKind, _ key: String
    ) -> SettingValue? {
        let expectation = kind.expectation
        switch (kind, entry.node.value) {
        case (.flag, .boolean(let flag)): return .flag(flag)
        case (.integer(let range, _), .integer(let integer)):
            guard let integer = Int(exactly: integer), range.contains(integer) else {
                problem(entry.position, key, "\(integer) is out of range: write \(expectation)")
                return nil
            }
            return .integer(integer)
        case (.choice(let texts), .string(let text)):
            guard texts.contains(text) else {
                problem(entry.position, key, "\(TOMLText.quote(text)) is not known: write \(expectation)")
                return nil
            }
            return .text(text)
        case (.text(let shape), .string(let text)):
            return accept(text, shape, entry.position, key).map { .text($0) }
        case (.choices(let texts), .array(let elements)):
            return choices(elements, of: texts, entry, key, expectation).map { .texts($0) }
        case (.texts(let shape), .array(let elements)):
            return texts(elements, shape, key, expectation).map { .texts($0) }
        case (.table(let keys, let values), .table(let table)):
            return pairs(table, keys, values, key).map { .table($0) }
        default:
            problem(entry.position, key, "is \(entry.node.kind): write \(expectation)")
            return nil
        }
    }

    private mutating func accept(_ text: String, _ shape: SettingShape, _ position: Position, _ key: String) -> String? {
        guard let accepted = shape.accept(text) else {
            problem(position, key, "\(TOMLText.quote(text)) is not \(shape.words)")
            return nil
        }
        switch shape {
        case .path: return resolve(accepted)
        case .endpoint where accepted.hasPrefix(MonitoringAddress.unixPrefix):
            let whole = MonitoringAddress.unixPrefix + resolve(String(accepted.dropFirst(MonitoringAddress.unixPrefix.count)))
            if MonitoringAddress(whole) == nil {
                problem(
                    position, key,
                    "\(TOMLText.quote(whole)) is longer than the 107 bytes that a socket's path may have: choose a shorter one")
                return nil
            }
            return whole
        default: return accepted
        }
    }

    private mutating func choices(
        _ elements: [TOMLNode], of texts: [String], _ entry: TOMLTable.Entry, _ key: String, _ expectation: String
    ) -> [String]? {
        var chosen: [String] = []
        let before = problems.count
        for element in elements {
            guard case .string(let text) = element.value else {
                problem(element.position, key, "has \(element.kind) in it: write \(expectation)")
                continue
            }
            if !texts.contains(text) {
                problem(element.position, key, "\(TOMLText.quote(text)) is not known: write \(expectation)")
            } else if chosen.contains(text) {
                problem(element.position, key, "\(TOMLText.quote(text)) stands twice: keep one")
            } else {
                chosen.append(text)
            }
        }
        if elements.isEmpty { problem(entry.position, key, "is empty: write \(expectation)") }
        return problems.count == before ? chosen : nil
    }

    private mutating func pairs(_ table: TOMLTable, _ keys: [String], _ values: [String], _ key: String) -> [String: String]? {
        var pairs: [String: String] = [:]
        let before = problems.count
        for entry in table.entries {
            guard keys.contains(entry.key) else {
                unknown(entry, "\(key).\(entry.key)", among: keys)
                continue
            }
            guard case .text(let text)? = accept(entry, .choice(values), "\(key).\(entry.key)") else { continue }
            pairs[entry.key] = text
        }
        return problems.count == before ? pairs : nil
    }

    private mutating func texts(_ elements: [TOMLNode], _ shape: SettingShape, _ key: String, _ expectation: String) -> [String]? {
        var accepted: [String] = []
        let before = problems.count
        for element in elements {
            guard case .string(let text) = element.value else {
                problem(element.position, key, "has \(element.kind) in it: write \(expectation)")
                continue
            }
            guard let good = accept(text, shape, element.position, key) else { continue }
            if accepted.contains(good) {
                problem(element.position, key, "\(TOMLText.quote(good)) stands twice: keep one")
            } else {
                lines["\(key) \(accepted.count)"] = element.position.line
                accepted.append(good)
            }
        }
        return problems.count == before ? accepted : nil
    }

    /// A path of the file, from its directory. An empty one means none and stays so.
    private func resolve(_ path: String) -> String {
        guard !path.isEmpty, !base.isEmpty, path.utf8.first != UInt8(ascii: "/") else { return path }
        return base.utf8.last == UInt8(ascii: "/") ? base + path : base + "/" + path
    }

    // MARK: Problems

    mutating func problem(_ position: Position, _ key: String, _ sentence: String) {
        problems.append(SettingsProblem(file: file, line: position.line, column: nil, key: key, sentence: sentence))
    }

    mutating func unknown(_ entry: TOMLTable.Entry, _ key: String, among known: [String]) {
        let mend =
            if let near = TextShape.nearest(entry.key, among: known) {
                "did you mean \"\(near)\"?"
            } else {
                "known are \(known.joined(separator: ", "))"
            }
        problem(entry.position, key, "is not known: \(mend)")
    }
}
