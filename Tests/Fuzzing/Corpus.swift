internal import Glibc
internal import Stanzas

/// Inputs that are kept: one file a target, a line an input, in base 64.
public enum Corpus {
    /// `Tests/Corpus/fuzz` of this repository.
    public static let folder = String(#filePath.dropLast("Fuzzing/Corpus.swift".count)) + "Corpus/fuzz"

    /// The kept inputs of a target; none when there is no file.
    /// - Returns: nil when the file is there and is not what `text` writes.
    public static func inputs(of target: String, in folder: String = folder) -> [[UInt8]]? {
        guard let bytes = bytes(of: "\(folder)/\(target).inputs") else { return [] }
        var inputs: [[UInt8]] = []
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard let input = Base64.decode(line) else { return nil }
            inputs.append(input)
        }
        return inputs
    }

    /// Inputs as a file of them.
    public static func text(_ inputs: [[UInt8]]) -> String { inputs.map { Base64.encode($0) + "\n" }.joined() }

    /// All bytes of a file; nil when it cannot be opened.
    public static func bytes(of path: String) -> [UInt8]? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return bytes
    }

    /// The files of a folder, in order of name.
    public static func files(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if !name.utf8.starts(with: ".".utf8) { names.append("\(folder)/\(name)") }
        }
        return names.sorted()
    }

    /// Writes a file; false when that failed.
    public static func write(_ bytes: [UInt8], to path: String) -> Bool {
        guard let file = fopen(path, "we") else { return false }
        let written = fwrite(bytes, 1, bytes.count, file)
        return fclose(file) == 0 && written == bytes.count
    }
}
