/// Something in a configuration file that must, or should, be mended.
public struct SettingsProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file as it was named.
    public var file: String
    /// From 1; `nil` when it is about what is not there.
    public var line: Int?
    /// In Unicode scalars from 1; only for what is not TOML.
    public var column: Int?
    /// The key as it would be written in the file: `limits.depth`, `host.key`.
    public var key: String?
    /// What is wrong; what to write.
    public var sentence: String

    /// `martlet.toml:12: limits.depth: 3 is out of range: write a number from 8 to 1024 (elements)`
    public var description: String {
        var text = file
        if let line { text += ":\(line)" }
        if let column { text += ":\(column)" }
        if let key { text += ": \(key)" }
        return Self.visible(text + ": " + sentence)
    }

    /// What a file quotes may hold anything: controls and marks that turn text round are shown as `\u{…}`, so that a problem is one line that
    /// says on a terminal what it is.
    private static func visible(_ text: String) -> String {
        func isHidden(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: true
            default: false
            }
        }
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        var shown = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if isHidden(scalar) {
                shown.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
            } else {
                shown.append(scalar)
            }
        }
        return String(shown)
    }
}

/// All that keeps a configuration file from being used, in the order of its lines.
public struct SettingsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// At least one.
    public let problems: [SettingsProblem]

    /// One line a problem.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
