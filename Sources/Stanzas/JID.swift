#if canImport(Glibc)
    import Glibc
#endif

/// An XMPP address (RFC 7622) in prepared form: two JIDs are the same address exactly when their bytes are equal (§3.2.3, §3.3, §3.4).
///
/// One string and two offsets. Every way to make one prepares and checks its parts, so a value of this type is always legal;
/// each part is at most 1,023 bytes.
public struct JID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The whole address, `local@domain/resource`.
    private let text: String
    /// Length of the localpart in bytes; 0 when there is none (a localpart is never empty).
    private let localLength: UInt16
    /// Offset of the end of the domainpart in bytes; equal to the length of `text` when there is no resourcepart.
    private let domainEnd: UInt16

    /// The most bytes each part may have after preparation (RFC 7622 §3.1).
    public static let maximumPartLength = 1023

    private init(text: String, localLength: Int, domainEnd: Int) {
        self.text = text
        self.localLength = UInt16(truncatingIfNeeded: localLength)
        self.domainEnd = UInt16(truncatingIfNeeded: domainEnd)
    }

    /// Reads and prepares an address, e.g. `juliet@example.com/balcony`.
    public init(_ string: String) throws(JIDError) {
        var copy = string
        self = try copy.withUTF8(Self.parse).get()
    }

    /// Reads and prepares an address from UTF-8 bytes; nil when they are not UTF-8 or no legal address.
    public init?(utf8 bytes: UnsafeRawBufferPointer) {
        guard case .success(let jid) = bytes.withMemoryRebound(to: UInt8.self, Self.parse) else { return nil }
        self = jid
    }

    /// Reads and prepares an address from UTF-8 bytes; nil when they are not UTF-8 or no legal address.
    public init?(utf8 bytes: [UInt8]) {
        guard case .success(let jid) = bytes.withUnsafeBufferPointer(Self.parse) else { return nil }
        self = jid
    }

    /// Prepares the parts of an address and puts them together. A part that is given must not be empty.
    public init(local: String?, domain: String, resource: String?) throws(JIDError) {
        let local = try local.map { string throws(JIDError) in try Self.prepareUsername(string) }
        let domain = try Self.prepareDomain(domain)
        let resource = try resource.map { string throws(JIDError) in try Self.prepareResource(string) }
        self.init(preparedLocal: local, preparedDomain: domain, preparedResource: resource)
    }

    private init(preparedLocal local: String?, preparedDomain domain: String, preparedResource resource: String?) {
        var text = ""
        if let local {
            text += local
            text += "@"
        }
        text += domain
        let domainEnd = text.utf8.count
        if let resource {
            text += "/"
            text += resource
        }
        self.init(text: text, localLength: local?.utf8.count ?? 0, domainEnd: domainEnd)
    }

    // MARK: Parts

    /// The part before `@`, prepared with UsernameCaseMapped (RFC 8265 §3.3).
    public var local: String? {
        guard localLength > 0 else { return nil }
        return slice(0, Int(localLength))
    }

    /// The domainpart: lower case, U-labels, no trailing dot.
    public var domain: String { slice(domainStart, Int(domainEnd)) }

    /// The part after the first `/`, prepared with OpaqueString (RFC 8265 §4.2).
    public var resource: String? {
        guard !isBare else { return nil }
        return slice(Int(domainEnd) + 1, text.utf8.count)
    }

    /// True when there is a localpart.
    public var hasLocal: Bool { localLength > 0 }

    /// True when `text`, in prepared form, is the domainpart: without making a string of that.
    public func hasDomain(_ text: String) -> Bool {
        let start = domainStart
        guard text.utf8.count == Int(domainEnd) - start else { return false }
        return withBytes { bytes in
            var text = text
            return text.withUTF8 { Self.order(UnsafeBufferPointer(rebasing: bytes[start..<Int(domainEnd)]), $0) == 0 }
        }
    }

    /// True when there is no resourcepart.
    public var isBare: Bool { Int(domainEnd) == text.utf8.count }

    /// True when there is neither localpart nor resourcepart.
    public var isDomain: Bool { localLength == 0 && isBare }

    /// The address without its resourcepart.
    public var bare: JID {
        guard !isBare else { return self }
        return JID(text: slice(0, Int(domainEnd)), localLength: Int(localLength), domainEnd: Int(domainEnd))
    }

    /// The domainpart as an address of its own.
    public var domainJID: JID {
        guard !isDomain else { return self }
        let domain = domain
        return JID(text: domain, localLength: 0, domainEnd: domain.utf8.count)
    }

    /// The same bare address with this resourcepart.
    public func with(resource: String) throws(JIDError) -> JID {
        let resource = try Self.prepareResource(resource)
        return JID(text: slice(0, Int(domainEnd)) + "/" + resource, localLength: Int(localLength), domainEnd: Int(domainEnd))
    }

    /// True when both are the same address but for the resourcepart.
    public func hasSameBare(as other: JID) -> Bool {
        guard domainEnd == other.domainEnd else { return false }
        return withBytes { a in
            other.withBytes { b in Self.order(.init(rebasing: a[..<Int(domainEnd)]), .init(rebasing: b[..<Int(domainEnd)])) == 0 }
        }
    }

    /// The bytes of the address without its resourcepart: what `bare.description` is made of, and no string is.
    public func withBareBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        withBytes { body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer($0)[..<Int(domainEnd)])) }
    }

    /// The whole address.
    public var description: String { text }

    private var domainStart: Int { localLength == 0 ? 0 : Int(localLength) + 1 }

    private func slice(_ start: Int, _ end: Int) -> String {
        withBytes { String(decoding: $0[start..<end], as: UTF8.self) }
    }

    @inline(__always)
    private func withBytes<R>(_ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        if let result = text.utf8.withContiguousStorageIfAvailable(body) { return result }
        return Array(text.utf8).withUnsafeBufferPointer(body)
    }

    // MARK: Equality, order

    // By octet (RFC 7622 §3.2.3 and RFC 8265 §3.3.4): cheaper than String's canonical equivalence, and the same, as every part is in NFC.

    public static func == (a: JID, b: JID) -> Bool {
        guard a.text.utf8.count == b.text.utf8.count else { return false }
        return a.withBytes { x in b.withBytes { y in Self.order(x, y) == 0 } }
    }

    public func hash(into hasher: inout Hasher) {
        withBytes { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    /// By bytes of the whole address: a total order without meaning to people.
    public static func < (a: JID, b: JID) -> Bool {
        a.withBytes { x in b.withBytes { y in Self.order(x, y) < 0 } }
    }

    private static func order(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Int {
        let shared = min(a.count, b.count)
        if shared > 0, let x = a.baseAddress, let y = b.baseAddress {
            let difference = Int(memcmp(x, y, shared))
            if difference != 0 { return difference }
        }
        return a.count - b.count
    }

    // MARK: Reading

    /// RFC 7622 §3.2: cut at the first `/`, then at the first `@` before it, then prepare each part.
    private static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Result<JID, JIDError> {
        let slash = bytes.firstIndex(of: UInt8(ascii: "/")) ?? bytes.count
        let at = bytes[..<slash].firstIndex(of: UInt8(ascii: "@"))
        let domainStart = at.map { $0 + 1 } ?? 0
        if let canonical = canonicalASCII(bytes, at: at, slash: slash) { return .success(canonical) }
        guard String(validating: bytes, as: UTF8.self) != nil else { return .failure(JIDError(.address, .notUTF8)) }
        func part(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        do throws(JIDError) {
            return .success(
                try JID(
                    local: at.map { part(0..<$0) },
                    domain: part(domainStart..<slash),
                    resource: slash < bytes.count ? part(slash + 1..<bytes.count) : nil))
        } catch {
            return .failure(error)
        }
    }

    /// The address as it stands, when it is all ASCII and preparation would change nothing: nearly every address on the wire.
    private static func canonicalASCII(_ bytes: UnsafeBufferPointer<UInt8>, at: Int?, slash: Int) -> JID? {
        if let at {
            guard at > 0, at <= maximumPartLength, bytes[..<at].allSatisfy(ASCII.isLocal) else { return nil }
        }
        let domainStart = at.map { $0 + 1 } ?? 0
        guard ASCII.isDomain(UnsafeBufferPointer(rebasing: bytes[domainStart..<slash])) else { return nil }
        if slash < bytes.count {
            let resource = bytes[(slash + 1)...]
            guard (1...maximumPartLength).contains(resource.count), resource.first != ASCII.space, resource.allSatisfy(ASCII.isResource)
            else { return nil }
        }
        return JID(text: String(decoding: bytes, as: UTF8.self), localLength: at ?? 0, domainEnd: slash)
    }

    // MARK: Preparation

    /// Prepares a localpart: the UsernameCaseMapped profile (RFC 8265 §3.3) without the characters of RFC 7622 §3.3.1, 1 to 1,023 bytes.
    public static func prepareUsername(_ string: String) throws(JIDError) -> String {
        let count = string.utf8.count
        guard count > 0 else { throw JIDError(.local, .empty) }
        var prepared = string
        if !string.utf8.allSatisfy(ASCII.isLocal) {
            prepared = try Profile.usernameCaseMapped(string, part: .local)
            guard !prepared.utf8.contains(where: ASCII.isForbiddenInLocal) else { throw JIDError(.local, .disallowedCharacter) }
        }
        guard prepared.utf8.count <= maximumPartLength else { throw JIDError(.local, .tooLong) }
        return prepared
    }

    /// Prepares a resourcepart: the OpaqueString profile (RFC 8265 §4.2), no space at the start (RFC 7622 §3.5, example 18), 1 to 1,023 bytes.
    public static func prepareResource(_ string: String) throws(JIDError) -> String {
        guard !string.utf8.isEmpty else { throw JIDError(.resource, .empty) }
        var prepared = string
        if !string.utf8.allSatisfy(ASCII.isResource) { prepared = try Profile.opaqueString(string, part: .resource) }
        guard prepared.utf8.first != ASCII.space else { throw JIDError(.resource, .disallowedCharacter) }
        guard prepared.utf8.count <= maximumPartLength else { throw JIDError(.resource, .tooLong) }
        return prepared
    }

    /// Prepares a domainpart (RFC 7622 §3.2): a domain name of NR-LDH labels and U-labels, an IPv4 address or a bracketed IPv6 address.
    public static func prepareDomain(_ string: String) throws(JIDError) -> String {
        var copy = string
        if copy.withUTF8(ASCII.isDomain) { return string }
        return try Domainpart.prepare(string)
    }

    /// A domain as the DNS and certificates write it: in A-labels (RFC 5890 §2.3.2.1).
    public static func asciiDomain(_ string: String) throws(JIDError) -> String {
        let prepared = try prepareDomain(string)
        if prepared.utf8.allSatisfy({ $0 < 0x80 }) { return prepared }
        guard let ascii = UTF16Text(prepared).domainToASCII()?.string else { throw JIDError(.domain, .malformedDomain) }
        return ascii
    }

    /// Prepares a password: the OpaqueString profile (RFC 8265 §4.2), not empty, at most 4,096 bytes. The error never quotes it.
    public static func preparePassword(_ string: String) throws(JIDError) -> String {
        guard !string.utf8.isEmpty else { throw JIDError(.password, .empty) }
        if string.utf8.count <= Profile.maximumInput, string.utf8.allSatisfy(ASCII.isResource) { return string }
        return try Profile.opaqueString(string, part: .password)
    }
}

/// Why a string is no address. Holds nothing of the string itself.
public struct JIDError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being prepared.
    public enum Part: String, Hashable, Sendable {
        /// The whole, before it was cut into parts.
        case address
        case local, domain, resource
        case password
    }
    public enum Reason: String, Hashable, Sendable {
        /// The part has no character (left).
        case empty
        /// Over 1,023 bytes (a label 63, a domain name 253, a password 4,096).
        case tooLong
        case notUTF8
        /// A code point the profile does not allow, or not in this place (RFC 8264 §4, RFC 5892, RFC 7622 §3.3.1).
        case disallowedCharacter
        /// Fails the Bidi rule (RFC 5893 §2).
        case directionality
        /// Applying the profile again keeps changing the string (RFC 8265 §5).
        case unstable
        /// No domain name by IDNA2008 and RFC 1034, or no IP address.
        case malformedDomain
    }
    public var part: Part
    public var reason: Reason

    public init(_ part: Part, _ reason: Reason) {
        self.part = part
        self.reason = reason
    }

    public var description: String { "\(part): \(reason)" }
}
