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
        return text + ": " + sentence
    }
}

/// All that keeps a configuration file from being used, in the order of its lines.
public struct SettingsError: Error, Equatable, Sendable, CustomStringConvertible {
    /// At least one.
    public let problems: [SettingsProblem]

    /// One line a problem.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
