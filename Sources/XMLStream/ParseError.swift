/// Why bytes from a stream were refused, and the stream condition that answers them (RFC 6120 §4.9.3).
public struct ParseError: Error, Equatable, Sendable {
    /// What was wrong with the input.
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// Violates XML 1.0 or Namespaces in XML (RFC 6120 §11.3).
        case notWellFormed
        /// A comment, processing instruction, DTD or entity reference other than the predefined five (RFC 6120 §11.1).
        case restricted
        /// Well-formed, but no stream looks like this: text between stanzas, an empty stream element.
        case badFormat
        /// The header declares an encoding other than UTF-8 (RFC 6120 §11.6).
        case unsupportedEncoding
        /// More bytes than `XMLLimits` allows, also after namespace declarations were completed.
        case tooLarge
        /// Deeper than `XMLLimits.depth`.
        case tooDeep
        /// More attributes in one tag than `XMLLimits.attributes`.
        case tooManyAttributes
        /// More namespace declarations in one tag than `XMLLimits.namespaceDeclarations`, or too many in scope at once.
        case tooManyNamespaces
        /// Memory for the parser could not be had.
        case outOfMemory
    }

    public let reason: Reason

    public init(_ reason: Reason) { self.reason = reason }

    /// The element name of the defined stream condition (RFC 6120 §4.9.3) that this error maps to.
    public var condition: String {
        switch reason {
        case .notWellFormed: "not-well-formed"
        case .restricted: "restricted-xml"
        case .badFormat: "bad-format"
        case .unsupportedEncoding: "unsupported-encoding"
        case .tooLarge, .tooDeep, .tooManyAttributes, .tooManyNamespaces: "policy-violation"
        case .outOfMemory: "resource-constraint"
        }
    }
}
