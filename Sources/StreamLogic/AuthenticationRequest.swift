internal import Stanzas
internal import XMLStream

/// The client that logs in, as it describes itself (XEP-0388 §2.3). Told to the account's owner and the operator, never to other entities.
public struct UserAgent: Equatable, Sendable {
    /// The UUID of the installation, in lower case; nil where there was none, or something else in its place.
    public var id: String?
    public var software: String?
    public var device: String?

    /// The most bytes of a description that are kept.
    public static let textBytes = 128

    /// Both in one; nil where it says neither.
    public var name: String? {
        let parts = [software, device].compactMap { $0 }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }

    public init(id: String? = nil, software: String? = nil, device: String? = nil) {
        self.id = id
        self.software = software
        self.device = device
    }
}

/// What a client asks for in `<authenticate/>` (XEP-0388 §2.3), with all that comes inline.
public struct AuthenticationRequest: Equatable, Sendable {
    /// `<resume/>` (XEP-0198 §9.2).
    public struct Resumption: Equatable, Sendable {
        public var previousID: String
        /// Nil where it was no number.
        public var handled: UInt32?

        public init(previousID: String, handled: UInt32?) {
            self.previousID = previousID
            self.handled = handled
        }
    }

    /// `<bind/>` of Bind 2 (XEP-0386 §3.2).
    public struct Binding: Equatable, Sendable {
        public struct Management: Equatable, Sendable {
            public var resumable: Bool
            /// Seconds the client wants its session kept, if it says so.
            public var seconds: Int?

            public init(resumable: Bool, seconds: Int? = nil) {
                self.resumable = resumable
                self.seconds = seconds
            }
        }

        public var tag: String?
        /// `<enable/>` of XEP-0198.
        public var management: Management?
        /// `<enable/>` of XEP-0280.
        public var carbons: Bool
        /// `<inactive/>` of XEP-0352.
        public var inactive: Bool

        public init(tag: String? = nil, management: Management? = nil, carbons: Bool = false, inactive: Bool = false) {
            self.tag = tag
            self.management = management
            self.carbons = carbons
            self.inactive = inactive
        }
    }

    /// `<fast/>` (XEP-0484 §3.4).
    public struct TokenUse: Equatable, Sendable {
        /// How often the client tried with this token; nil where it did not say.
        public var count: UInt32?
        /// The token is not to be used again (§3.6).
        public var invalidate: Bool

        public init(count: UInt32? = nil, invalidate: Bool = false) {
            self.count = count
            self.invalidate = invalidate
        }
    }

    public var mechanism: String
    /// Nil without an initial response; empty for one without data (XEP-0388 §2.2).
    public var initial: [UInt8]?
    public var agent: UserAgent?
    public var resume: Resumption?
    public var bind: Binding?
    /// `<fast/>`: the client logs in with a token.
    public var token: TokenUse?
    /// `<request-token/>` (XEP-0484 §3.2): the mechanism it shall be for.
    public var wantsTokenFor: String?
    /// `<upgrade/>` (XEP-0480 §2.2): the tasks, without one twice.
    public var upgrades: [String]

    public init(
        mechanism: String, initial: [UInt8]? = nil, agent: UserAgent? = nil, resume: Resumption? = nil, bind: Binding? = nil,
        token: TokenUse? = nil, wantsTokenFor: String? = nil, upgrades: [String] = []
    ) {
        self.mechanism = mechanism
        self.initial = initial
        self.agent = agent
        self.resume = resume
        self.bind = bind
        self.token = token
        self.wantsTokenFor = wantsTokenFor
        self.upgrades = upgrades
    }
}

// MARK: Reading

private enum Names {
    static let initialResponse = Name("initial-response", NS.sasl2)
    static let userAgent = Name("user-agent", NS.sasl2)
    static let software = Name("software", NS.sasl2)
    static let device = Name("device", NS.sasl2)
    static let resume = Name("resume", NS.streamManagement)
    static let enableManagement = Name("enable", NS.streamManagement)
    static let bind = Name("bind", NS.bind2)
    static let tag = Name("tag", NS.bind2)
    static let enableCarbons = Name("enable", NS.carbons)
    static let inactive = Name("inactive", NS.clientState)
    static let fast = Name("fast", NS.fast)
    static let requestToken = Name("request-token", NS.fast)
    static let upgrade = Name("upgrade", NS.saslUpgrade)
}

extension AuthenticationRequest {
    /// The most upgrades that one request may ask for.
    private static let upgradeBound = 8

    /// Reads `<authenticate/>`; nil where its data is not base 64.
    ///
    /// What is asked for inline in a form that nobody knows is left out: the request succeeds without it (XEP-0388 §2.6.1).
    init?(mechanism: String, _ element: Element) {
        var initial: [UInt8]?
        if let response = element.first(Names.initialResponse) {
            guard let data = SASLText.data(response.text) else { return nil }
            initial = data
        }
        self.init(mechanism: mechanism, initial: initial)
        agent = element.first(Names.userAgent).map { UserAgent($0) }
        resume = element.first(Names.resume).flatMap { element in
            element["previd"].map { Resumption(previousID: $0, handled: element["h"].flatMap { UInt32($0) }) }
        }
        bind = element.first(Names.bind).map { Binding($0) }
        token = element.first(Names.fast).map {
            TokenUse(count: $0["count"].flatMap { UInt32($0) }, invalidate: SASLText.isTrue($0["invalidate"]))
        }
        wantsTokenFor = element.first(Names.requestToken)?["mechanism"]
        for upgrade in element.all(Names.upgrade).prefix(Self.upgradeBound) {
            let task = SASLText.trimmed(upgrade.text)
            if !upgrades.contains(task) { upgrades.append(task) }
        }
    }
}

extension AuthenticationRequest.Binding {
    fileprivate init(_ element: Element) {
        let tag = element.first(Names.tag).map { SASLText.trimmed($0.text) }
        self.init(
            tag: tag?.isEmpty == true ? nil : tag, carbons: element.first(Names.enableCarbons) != nil,
            inactive: element.first(Names.inactive) != nil)
        management = element.first(Names.enableManagement).map { enable in
            let seconds = enable["max"].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
            return Management(resumable: SASLText.isTrue(enable["resume"]), seconds: seconds)
        }
    }
}

extension UserAgent {
    fileprivate init(_ element: Element) {
        self.init(
            id: element["id"].flatMap { Self.uuid($0) }, software: element.first(Names.software).map { Self.short($0.text) },
            device: element.first(Names.device).map { Self.short($0.text) })
    }

    /// As many whole characters as are kept.
    private static func short(_ text: String) -> String {
        var result = ""
        for character in text {
            guard result.utf8.count + character.utf8.count <= textBytes else { break }
            result.append(character)
        }
        return result
    }

    /// A UUID (XEP-0388 §8) in lower case, so that one client is one device however it writes the digits.
    private static func uuid(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        guard bytes.count == 36 else { return nil }
        for (index, byte) in bytes.enumerated() {
            let isDash = index == 8 || index == 13 || index == 18 || index == 23
            guard isDash ? byte == UInt8(ascii: "-") : Character(UnicodeScalar(byte)).isHexDigit else { return nil }
        }
        return text.lowercased()
    }
}

/// The text of SASL2's elements.
enum SASLText {
    /// Base 64, with the white space around it that some write (XEP-0388 §2.2). Nil: wrong encoding.
    static func data(_ text: String) -> [UInt8]? { Base64.decode(trimmed(text).utf8) }

    static func trimmed(_ text: String) -> String {
        var bytes = text.utf8[...]
        while let first = bytes.first, isSpace(first) { bytes = bytes.dropFirst() }
        while let last = bytes.last, isSpace(last) { bytes = bytes.dropLast() }
        return String(Substring(bytes))
    }

    /// An `xs:boolean` attribute.
    static func isTrue(_ value: String?) -> Bool { value == "true" || value == "1" }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }
}
