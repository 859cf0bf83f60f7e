internal import Stanzas
import Store
public import XMLStream

/// The oldest and the newest message of an archive.
public struct ArchiveEnds: Sendable, Equatable {
    public struct End: Sendable, Equatable {
        public var id: String
        /// µs since 1970, UTC.
        public var stamp: Int64
    }
    public var first: End
    public var last: End
}

/// The state of an archive (XEP-0313 §5).
public final class ArchiveMetadata: Sendable, Equatable {
    /// Nil: the archive is empty.
    public let ends: ArchiveEnds?

    public init(_ ends: ArchiveEnds?) { self.ends = ends }

    public static func == (a: ArchiveMetadata, b: ArchiveMetadata) -> Bool { a.ends == b.ends }

    /// `<metadata/>`, as an answer (XEP-0313 §5) and in `<bound/>` (XEP-0386 §3.2).
    public func write(into xml: inout XMLWriter) {
        guard let ends else { return xml.empty("metadata", xmlns: NS.archive) }
        xml.element("metadata", xmlns: NS.archive) { xml in
            for (name, end) in [("start", ends.first), ("end", ends.last)] {
                xml.empty(name, ("id", end.id), ("timestamp", DateTime(microseconds: end.stamp).description))
            }
        }
    }
}

extension ByteWriter {
    mutating func metadata(_ metadata: ArchiveMetadata) {
        bool(metadata.ends != nil)
        guard let ends = metadata.ends else { return }
        for end in [ends.first, ends.last] {
            string(end.id)
            uint64(UInt64(bitPattern: end.stamp))
        }
    }
}

extension ByteReader {
    mutating func metadata() throws(CodecError) -> ArchiveMetadata {
        guard try bool() else { return ArchiveMetadata(nil) }
        return ArchiveMetadata(ArchiveEnds(first: try end(), last: try end()))
    }

    private mutating func end() throws(CodecError) -> ArchiveEnds.End {
        ArchiveEnds.End(id: try string(), stamp: Int64(bitPattern: try uint64()))
    }
}
