import Glibc

/// Which Martlet this is, and on what it runs.
public enum Version {
    public static let text = "0.1.0"

    /// "Linux 6.1.0" and the like.
    static let system: String = {
        var names = utsname()
        guard uname(&names) == 0 else { return "Linux" }
        func text<T>(_ field: T) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return "\(text(names.sysname)) \(text(names.release))"
    }()
}
