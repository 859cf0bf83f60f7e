public import XMLStream

/// Result set management (XEP-0059).
public enum ResultSet {
    public static let name = Name("set", NS.resultSet)

    /// Which page is asked for.
    public struct Request: Hashable, Sendable {
        /// The most items wanted; 0 asks for the count alone (§2.7). nil: as many as the responder likes.
        public var max: Int?
        /// The page follows the item with this id.
        public var after: String?
        /// The page precedes the item with this id; an empty id asks for the last page (§2.5).
        public var before: String?
        /// The page starts at this position, from 0 (§2.6).
        public var index: Int?

        public init(max: Int? = nil, after: String? = nil, before: String? = nil, index: Int? = nil) {
            self.max = max
            self.after = after
            self.before = before
            self.index = index
        }

        /// Reads `<set/>`. A number that is none is `bad-request`; an empty `<after/>` is the same as none (§2.2).
        public init(_ set: Element) throws(StanzaError) {
            func number(_ local: String) throws(StanzaError) -> Int? {
                guard let text = set.first(local: local, namespace: NS.resultSet)?.text else { return nil }
                guard let value = Int(text), value >= 0 else { throw StanzaError(.badRequest, text: "<\(local)/> must be a number") }
                return value
            }
            max = try number("max")
            index = try number("index")
            after = set.first(local: "after", namespace: NS.resultSet).map(\.text).flatMap { $0.isEmpty ? nil : $0 }
            before = set.first(local: "before", namespace: NS.resultSet)?.text
        }

        /// The page asked for in a query; nil when it has no `<set/>`.
        public init?(in query: Element) throws(StanzaError) {
            guard let set = query.first(ResultSet.name) else { return nil }
            try self.init(set)
        }

        /// Whether the last page is asked for.
        public var wantsLastPage: Bool { before?.isEmpty == true }

        public func write(into writer: inout XMLWriter) {
            writer.element("set", xmlns: NS.resultSet) { writer in
                if let after { writer.element("after", text: after) }
                if let before { writer.element("before", text: before.isEmpty ? nil : before) }
                if let index { writer.element("index", text: String(index)) }
                if let max { writer.element("max", text: String(max)) }
            }
        }
    }

    /// What page was returned.
    public struct Page: Hashable, Sendable {
        /// The id of the first item; nil when the page is empty.
        public var first: String?
        /// The position of the first item in the full set, maybe approximate.
        public var firstIndex: Int?
        /// The id of the last item; nil when the page is empty.
        public var last: String?
        /// How many items the full set has, maybe approximately.
        public var count: Int?

        public init(first: String? = nil, firstIndex: Int? = nil, last: String? = nil, count: Int? = nil) {
            self.first = first
            self.firstIndex = firstIndex
            self.last = last
            self.count = count
        }

        /// Reads `<set/>` in a result; numbers that are none are left out.
        public init(_ set: Element) {
            let first = set.first(local: "first", namespace: NS.resultSet)
            self.init(
                first: first?.text, firstIndex: first?["index"].flatMap { Int($0) },
                last: set.first(local: "last", namespace: NS.resultSet)?.text,
                count: set.first(local: "count", namespace: NS.resultSet).flatMap { Int($0.text) })
        }

        public func write(into writer: inout XMLWriter) {
            writer.element("set", xmlns: NS.resultSet) { writer in
                if let first {
                    writer.element("first", ("index", firstIndex.map { String($0) }), text: first)
                    writer.element("last", text: last ?? first)
                }
                if let count { writer.element("count", text: String(count)) }
            }
        }
    }
}
