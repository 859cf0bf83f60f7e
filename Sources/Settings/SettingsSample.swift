extension Settings {
    /// The sample configuration: every setting with what it is good for, its bounds and its default.
    ///
    /// Lines that begin with `# ` teach; lines that begin with `#` and a letter are settings at their defaults, to be
    /// uncommented when they shall differ. As it stands it serves `example.org` on loopback.
    public static func sample() -> String {
        var lines = [
            "# The configuration of Martlet. Every key is here with its default, commented out: remove the # of those you change.",
            "# martletd --check-config --config FILE says whether a file is good, and what to mend.",
            "",
        ]
        let defaults = Settings()
        for table in SettingsTable.tables {
            lines += comment(table.doc)
            lines.append("[\(table.name)]")
            for setting in SettingsTable.all where setting.table == table.name {
                lines += comment(setting.doc + " " + setting.kind.bounds)
                lines.append("#\(setting.name) = \(setting.text(of: defaults))")
            }
            lines.append("")
        }
        lines += comment("One virtual host: what stands behind the '@'. Write [[host]] again for each further one.")
        lines.append("[[host]]")
        let host = Host(domain: "example.org")
        for setting in SettingsTable.host {
            lines += comment(setting.doc + " " + setting.kind.bounds)
            lines.append("\(setting.key == "domain" ? "" : "#")\(setting.key) = \(setting.text(of: host))")
        }
        lines.append("")
        lines += comment(
            "A component: a program that speaks for a domain of its own (XEP-0114), as gateways and push services do. Write [[component]] again for each further one."
        )
        lines.append("#[[component]]")
        let component = Component(domain: "gateway.example.org")
        for setting in SettingsTable.component {
            lines += comment(setting.doc + " " + setting.kind.bounds)
            lines.append("#\(setting.key) = \(setting.text(of: component))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A text as comment lines of at most 120 characters.
    private static func comment(_ text: String) -> [String] {
        var lines: [String] = []
        var line = "#"
        for word in text.split(separator: " ") {
            if line.count + word.count + 1 > 120 {
                lines.append(line)
                line = "#"
            }
            line += " " + word
        }
        return lines + [line]
    }
}

extension SettingKind {
    /// The bounds of a value as a sentence, empty where the type says it all.
    var bounds: String {
        switch self {
        case .flag, .text, .texts: ""
        case .integer(let range, let unit): "\(range.lowerBound) to \(range.upperBound) \(unit)."
        case .choice(let texts): "One of \(texts.joined(separator: ", "))."
        case .table(let keys, let values): "Keys: \(keys.joined(separator: ", ")). Values: \(values.joined(separator: ", "))."
        case .choices(let texts): "Some of \(texts.joined(separator: ", "))."
        }
    }
}
