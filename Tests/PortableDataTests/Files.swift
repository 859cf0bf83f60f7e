import Glibc
import PortableData
import Stanzas

/// The files of `Tests/Corpus/xep0227`.
enum Corpus {
    struct Unreadable: Error { var path: String }

    static let folder = String(#filePath.dropLast("PortableDataTests/Files.swift".count)) + "Corpus/xep0227/"

    static let names = [
        "prosody/u1@capulet.lit.xml", "prosody/u3@capulet.lit.xml", "ejabberd/20261121-182639.xml",
        "ejabberd/20261121-182639_capulet_lit.xml",
    ]

    static func bytes(_ name: String) throws -> [UInt8] {
        guard let file = fopen(folder + name, "re") else { throw Unreadable(path: folder + name) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return bytes
    }
}

/// Everything a file gives, and the fault that ended it; the bytes come in pieces of the lengths that `next` says.
func read(
    _ bytes: [UInt8], expecting root: PortableReader.Root = .serverData, next: () -> Int = { 65_536 }
) -> (events: [PortableReader.Event], fault: PortableFault?) {
    let reader = PortableReader(expecting: root)
    var events: [PortableReader.Event] = []
    var rest = bytes[...]
    do throws(PortableFault) {
        while !rest.isEmpty {
            let piece = Array(rest.prefix(max(1, next())))
            rest = rest.dropFirst(piece.count)
            let got = piece.withUnsafeBytes { piece in Result { () throws(PortableFault) in try reader.read(piece) } }
            events += try got.get()
        }
        events += try reader.finish()
    } catch {
        return (events, error)
    }
    return (events, reader.fault)
}

func read(_ text: String) -> (events: [PortableReader.Event], fault: PortableFault?) { read(Array(text.utf8)) }

/// An account of a file, with the things that were read of it.
struct FileUser {
    var user: PortableUser
    var items: [PortableItem] = []
    var refusals: [String] = []
    var passed: [String] = []
}

/// The accounts of whole files.
func users(_ events: [PortableReader.Event]) throws -> [FileUser] {
    var host = ""
    var users: [FileUser] = []
    for case .line(let line) in events {
        switch line {
        case .host(_, let jid): host = jid
        case .user(_, let xml): users.append(FileUser(user: try PortableUser(xml, host: host)))
        case .part(_, let place, let xml):
            let last = users.count - 1
            // A file of things alone is of no account.
            if last < 0 { continue }
            do throws(PortableRefusal) {
                users[last].items.append(try PortableItem(Array(xml.utf8), at: place, of: users[last].user.jid))
            } catch {
                users[last].refusals.append(error.sentence)
            }
        case .passed(_, let kind): if !users.isEmpty { users[users.count - 1].passed.append(kind) }
        case .file, .end, .broken: break
        }
    }
    return users
}

/// The same numbers for the same seed.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
