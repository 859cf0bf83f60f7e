import TestKit

/// The pages of a data file of liblmdb 0.9 that a tree reaches, by what they are; read from the file alone.
struct DataPages {
    enum Class: String, CaseIterable {
        case meta, branch, leaf, overflow
        /// Of the tree of free pages. There are no sub pages: no table has several values for a key.
        case freeList = "free list"
    }

    static let size = 4_096
    private static let header = 16
    private(set) var pages: [Class: [Int]] = [.meta: [0, 1]]
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) throws {
        self.bytes = bytes
        // The newer of the two roots: behind its header a magic number, a version, an address, a size, two trees, a last page, a number.
        let newest = number(128 + 16, 8) > number(Self.size + 128 + 16, 8) ? 0 : Self.size
        guard bytes.count > 4 * Self.size, number(newest + 16, 4) == 0xBEEF_C0DE else { throw ProcessFailure("no data file of liblmdb") }
        let trees = newest + 16 + 24
        walk(number(trees + 40, 8), isFree: true)
        walk(number(trees + 48 + 40, 8), isFree: false)
    }

    private func number(_ offset: Int, _ width: Int) -> Int {
        guard offset + width <= bytes.count else { return -1 }
        return (0..<width).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * min($1, 7)) }
    }

    private mutating func walk(_ page: Int, isFree: Bool) {
        let start = page * Self.size
        guard page > 1, start + Self.size <= bytes.count else { return }
        let isBranch = number(start + 10, 2) & 1 != 0
        pages[isFree ? .freeList : isBranch ? .branch : .leaf, default: []].append(page)
        for index in 0..<((number(start + 12, 2) - Self.header) / 2) {
            let node = start + number(start + Self.header + 2 * index, 2)
            if isBranch {
                walk(number(node, 2) | number(node + 2, 2) << 16 | number(node + 4, 2) << 32, isFree: isFree)
            } else if number(node + 4, 2) & 1 != 0 {
                let value = node + 8 + number(node + 6, 2)
                pages[isFree ? .freeList : .overflow, default: []].append(number(value, 8))
            }
        }
    }

    /// Changes some bytes of the header of a page of this class, of its list of nodes, or of the header of one of these.
    ///
    /// - Returns: what was done, for a failure.
    func damage(_ kind: Class, _ chance: inout Chance, in file: inout [UInt8]) -> String {
        let candidates = pages[kind] ?? []
        guard !candidates.isEmpty else { return "no \(kind.rawValue) page" }
        let page = candidates[chance.below(candidates.count)]
        let start = page * Self.size
        let nodes = kind == .overflow || kind == .meta ? 0 : max(0, (number(start + 12, 2) - Self.header) / 2)
        var story = "\(kind.rawValue) page \(page):"
        for _ in 0..<(1 + chance.below(4)) {
            var offset = chance.below(Self.header)
            if nodes > 0 {
                switch chance.below(4) {
                case 0: offset = Self.header + chance.below(2 * nodes)
                case 1: offset = number(start + Self.header + 2 * chance.below(nodes), 2) + chance.below(8)
                default: break
                }
            }
            guard offset < Self.size else { continue }
            let old = file[start + offset]
            switch chance.below(4) {
            case 0: file[start + offset] = 0
            case 1: file[start + offset] = 0xFF
            case 2: file[start + offset] ^= 1 << UInt8(chance.below(8))
            default: file[start + offset] = UInt8(chance.below(256))
            }
            story += " byte \(offset) from \(old) to \(file[start + offset])"
        }
        return story
    }
}
