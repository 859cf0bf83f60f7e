import CShims

/// A code point with its Unicode properties, classified as RFC 8264 §8 (PRECIS) and RFC 5892 §3 (IDNA2008) do.
struct CodePoint {
    /// The derived property of RFC 8264 §8 or RFC 5892 §3.
    enum Derived {
        case valid
        /// Valid in the FreeformClass only (FREE_PVAL).
        case freeform
        /// CONTEXTJ or CONTEXTO: valid where `ContextRule` says so.
        case contextual
        case disallowed
        case unassigned
    }

    let value: UInt32
    private let properties: martlet_icu_properties

    init(_ value: UInt32) {
        self.value = value
        properties = martlet_icu_properties_of(value)
    }

    var combiningClass: UInt8 { properties.combining }
    var script: UInt16 { properties.script }
    var joiningType: UInt8 { properties.joining }
    var bidi: BidiClass { BidiClass(rawValue: properties.direction) ?? .other }
    var isSpace: Bool { properties.category == Category.spaceSeparator }
    var isWidthVariant: Bool {
        properties.decomposition == martlet_icu_decomposition_wide || properties.decomposition == martlet_icu_decomposition_narrow
    }

    /// General_Category by ICU's numbers (`UCharCategory`).
    private enum Category {
        static let unassigned: UInt8 = 0
        static let titlecaseLetter: UInt8 = 3
        static let enclosingMark: UInt8 = 7
        static let letterNumber: UInt8 = 10
        static let otherNumber: UInt8 = 11
        static let spaceSeparator: UInt8 = 12
        static let control: UInt8 = 15
        /// Ll, Lu, Lo, Nd, Lm, Mn, Mc (RFC 5892 §2.1).
        static let letterDigits: Set<UInt8> = [1, 2, 4, 5, 6, 8, 9]
        /// Pd, Ps, Pe, Pc, Po, Sm, Sc, Sk, So, Pi, Pf (RFC 8264 §9.15, §9.16).
        static let symbolsAndPunctuation: Set<UInt8> = [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]
    }

    /// RFC 5892 §2.6.
    private var exception: Derived? {
        switch value {
        case 0x00DF, 0x03C2, 0x06FD, 0x06FE, 0x0F0B, 0x3007: .valid
        case 0x00B7, 0x0375, 0x05F3, 0x05F4, 0x30FB, 0x0660...0x0669, 0x06F0...0x06F9: .contextual
        case 0x0640, 0x07FA, 0x302E, 0x302F, 0x3031...0x3035, 0x303B: .disallowed
        default: nil
        }
    }

    private var isUnassigned: Bool { properties.category == Category.unassigned && properties.noncharacter == 0 }
    private var isJoinControl: Bool { value == 0x200C || value == 0x200D }
    private var isOldHangulJamo: Bool {
        properties.hangul == martlet_icu_hangul_leading || properties.hangul == martlet_icu_hangul_vowel
            || properties.hangul == martlet_icu_hangul_trailing
    }

    /// RFC 8264 §8, in the order given there.
    var precis: Derived {
        if let exception { return exception }
        if isUnassigned { return .unassigned }
        if (0x21...0x7E).contains(value) { return .valid }
        if isJoinControl { return .contextual }
        if isOldHangulJamo { return .disallowed }
        if properties.ignorable != 0 || properties.noncharacter != 0 { return .disallowed }
        if properties.category == Category.control { return .disallowed }
        if martlet_icu_is_nfkc(value) == 0 { return .freeform }
        switch properties.category {
        case let category where Category.letterDigits.contains(category): return .valid
        case Category.titlecaseLetter, Category.letterNumber, Category.otherNumber, Category.enclosingMark: return .freeform
        case Category.spaceSeparator: return .freeform
        case let category where Category.symbolsAndPunctuation.contains(category): return .freeform
        default: return .disallowed
        }
    }

    /// RFC 5892 §3, in the order given there.
    var idna: Derived {
        if let exception { return exception }
        if isUnassigned { return .unassigned }
        switch value {
        case 0x2D, 0x30...0x39, 0x61...0x7A: return .valid
        default: break
        }
        if isJoinControl { return .contextual }
        let alone = UTF16Text(scalar: value)
        if alone.nfkc()?.caseFolded()?.nfkc() != alone { return .disallowed }
        if properties.ignorable != 0 || properties.whitespace != 0 || properties.noncharacter != 0 { return .disallowed }
        switch value {
        case 0x20D0...0x20FF, 0x1D100...0x1D1FF, 0x1D200...0x1D24F: return .disallowed
        default: break
        }
        if isOldHangulJamo { return .disallowed }
        return Category.letterDigits.contains(properties.category) ? .valid : .disallowed
    }
}

/// Bidi_Class by ICU's numbers (`UCharDirection`), as far as RFC 5893 tells them apart.
enum BidiClass: UInt8 {
    case leftToRight = 0
    case rightToLeft = 1
    case europeanNumber = 2
    case europeanSeparator = 3
    case europeanTerminator = 4
    case arabicNumber = 5
    case commonSeparator = 6
    case otherNeutral = 10
    case arabicLetter = 13
    case nonspacingMark = 17
    case boundaryNeutral = 18
    case other = 255
}

/// UTF-16 as ICU takes it, with the transformations that preparation needs. Each is nil when ICU refuses or the result would not fit.
struct UTF16Text: Equatable {
    private(set) var units: [UInt16]

    init(_ units: [UInt16]) { self.units = units }
    init(_ string: String) { units = Array(string.utf16) }
    init(scalar: UInt32) {
        guard let scalar = Unicode.Scalar(scalar) else {
            units = []
            return
        }
        units = Array(UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter)
    }

    var string: String { String(decoding: units, as: UTF16.self) }

    func nfc() -> UTF16Text? { transformed(martlet_icu_nfc) }
    func nfkc() -> UTF16Text? { transformed(martlet_icu_nfkc) }
    func caseFolded() -> UTF16Text? { transformed(martlet_icu_fold) }
    func lowercased() -> UTF16Text? { transformed(martlet_icu_lower) }
    func domainToUnicode() -> UTF16Text? { transformed(martlet_icu_domain_to_unicode) }
    func domainToASCII() -> UTF16Text? { transformed(martlet_icu_domain_to_ascii) }

    /// The decomposition mapping of one code point; nil when it has none.
    static func decomposition(of scalar: UInt32) -> UTF16Text? {
        let units = [UInt16](unsafeUninitializedCapacity: 32) { buffer, count in
            count = Int(max(0, martlet_icu_decomposition(scalar, buffer.baseAddress, 32)))
        }
        return units.isEmpty ? nil : UTF16Text(units)
    }

    private func transformed(
        _ function: (UnsafePointer<UInt16>?, Int32, UnsafeMutablePointer<UInt16>?, Int32) -> Int32
    ) -> UTF16Text? {
        // A code point becomes at most 18 units (NFKC of U+FDFA), an A-label four times its input and a prefix.
        guard units.count <= Profile.maximumInput else { return nil }
        let capacity = units.count * 18 + 64
        var failed = false
        let result = [UInt16](unsafeUninitializedCapacity: capacity) { target, count in
            let written = units.withUnsafeBufferPointer { source in
                function(source.baseAddress, Int32(source.count), target.baseAddress, Int32(capacity))
            }
            failed = written < 0 || Int(written) > capacity
            count = failed ? 0 : Int(written)
        }
        return failed ? nil : UTF16Text(result)
    }
}
