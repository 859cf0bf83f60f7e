import Glibc

/// The scripts of `Tests/Scripts`, found beside this file.
public enum ScriptFolder {
    private static let path = String(#filePath.dropLast("TestKit/ScriptFolder.swift".count)) + "Scripts"

    public struct Unreadable: Error, CustomStringConvertible {
        public var description: String
    }

    /// File names, sorted.
    public static let names: [String] = list(path, suffix: ".xmpp")

    /// The files of a folder that end so, sorted; none where there is no such folder.
    public static func list(_ path: String, suffix: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(suffix) { names.append(name) }
        }
        return names.sorted()
    }

    public static func script(_ name: String) throws -> Script {
        guard let file = fopen(path + "/" + name, "r") else { throw Unreadable(description: "cannot read \(path)/\(name)") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            guard count > 0 else { break }
            bytes.append(contentsOf: buffer[..<count])
        }
        return try Script(name: name, text: String(decoding: bytes, as: UTF8.self))
    }
}
