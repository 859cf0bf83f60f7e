import CShims

#if canImport(Glibc)
    import Glibc
#endif

/// The PRECIS profiles of RFC 8265, for strings that need more than the ASCII rules.
enum Profile {
    /// The longest input looked at, in bytes: far above what a part may have, so that a huge string costs nothing.
    static let maximumInput = 4096

    /// UsernameCaseMapped (RFC 8265 §3.3), applied until stable. Lower case goes code point by code point: the rules take no account of
    /// where a sigma stands (RFC 8265 §3.6).
    static func usernameCaseMapped(_ string: String, part: JIDError.Part) throws(JIDError) -> String {
        try untilStable(string, part: part) { string throws(JIDError) in
            var mapped: [UInt16] = []
            for scalar in string.unicodeScalars {
                if CodePoint(scalar.value).isWidthVariant, let narrow = UTF16Text.decomposition(of: scalar.value) {
                    mapped += narrow.units
                } else {
                    mapped += UTF16Text(scalar: scalar.value).units
                }
            }
            let wide = UTF16Text(mapped).string
            try check(wide, part: part, allowsFreeform: false)
            var lower: [UInt16] = []
            for scalar in wide.unicodeScalars {
                guard let one = UTF16Text(scalar: scalar.value).lowercased() else { throw JIDError(part, .disallowedCharacter) }
                lower += one.units
            }
            guard let normal = UTF16Text(lower).nfc()?.string else { throw JIDError(part, .disallowedCharacter) }
            guard BidiRule.holds(normal.unicodeScalars.map { CodePoint($0.value) }) else { throw JIDError(part, .directionality) }
            return normal
        }
    }

    /// OpaqueString (RFC 8265 §4.2), applied until stable.
    static func opaqueString(_ string: String, part: JIDError.Part) throws(JIDError) -> String {
        try untilStable(string, part: part) { string throws(JIDError) in
            try check(string, part: part, allowsFreeform: true)
            var mapped = String.UnicodeScalarView()
            for scalar in string.unicodeScalars {
                mapped.append(!scalar.isASCII && CodePoint(scalar.value).isSpace ? " " : scalar)
            }
            guard let normal = UTF16Text(String(mapped)).nfc()?.string else { throw JIDError(part, .disallowedCharacter) }
            return normal
        }
    }

    /// RFC 8265 §5: applied until the output is stable, at most three times more than once.
    private static func untilStable(
        _ string: String, part: JIDError.Part, _ apply: (String) throws(JIDError) -> String
    ) throws(JIDError) -> String {
        guard string.utf8.count <= maximumInput else { throw JIDError(part, .tooLong) }
        var current = string
        for _ in 0...3 {
            let next = try apply(current)
            guard !next.utf8.isEmpty else { throw JIDError(part, .empty) }
            if next.utf8.elementsEqual(current.utf8) { return next }
            current = next
        }
        guard try apply(current).utf8.elementsEqual(current.utf8) else { throw JIDError(part, .unstable) }
        return current
    }

    private static func check(_ string: String, part: JIDError.Part, allowsFreeform: Bool) throws(JIDError) {
        let points = string.unicodeScalars.map { CodePoint($0.value) }
        for (index, point) in points.enumerated() {
            let allowed =
                switch point.precis {
                case .valid: true
                case .freeform: allowsFreeform
                case .contextual: ContextRule.allows(points, at: index)
                case .disallowed, .unassigned: false
                }
            guard allowed else { throw JIDError(part, .disallowedCharacter) }
        }
    }
}

/// The contextual rules of RFC 5892 Appendix A.
enum ContextRule {
    private static let virama: UInt8 = 9

    static func allows(_ points: [CodePoint], at index: Int) -> Bool {
        let before = index > 0 ? points[index - 1] : nil
        let after = index + 1 < points.count ? points[index + 1] : nil
        switch points[index].value {
        case 0x200C:  // A.1 ZERO WIDTH NON-JOINER
            if before?.combiningClass == virama { return true }
            let left = points[..<index].last { $0.joiningType != martlet_icu_joining_transparent }
            let right = points[(index + 1)...].first { $0.joiningType != martlet_icu_joining_transparent }
            guard let left, let right else { return false }
            return [martlet_icu_joining_left, martlet_icu_joining_dual].contains(left.joiningType)
                && [martlet_icu_joining_right, martlet_icu_joining_dual].contains(right.joiningType)
        case 0x200D: return before?.combiningClass == virama  // A.2 ZERO WIDTH JOINER
        case 0x00B7: return before?.value == 0x6C && after?.value == 0x6C  // A.3 MIDDLE DOT
        case 0x0375: return after?.script == martlet_icu_script_greek  // A.4 GREEK LOWER NUMERAL SIGN
        case 0x05F3, 0x05F4: return before?.script == martlet_icu_script_hebrew  // A.5, A.6 HEBREW PUNCTUATION
        case 0x30FB:  // A.7 KATAKANA MIDDLE DOT
            let scripts = [martlet_icu_script_hiragana, martlet_icu_script_katakana, martlet_icu_script_han]
            return points.contains { scripts.contains($0.script) }
        case 0x0660...0x0669: return !points.contains { (0x06F0...0x06F9).contains($0.value) }  // A.8 ARABIC-INDIC DIGITS
        case 0x06F0...0x06F9: return !points.contains { (0x0660...0x0669).contains($0.value) }  // A.9 EXTENDED ARABIC-INDIC DIGITS
        default: return false
        }
    }
}

/// The Bidi rule of RFC 5893 §2, for strings that have right-to-left code points.
enum BidiRule {
    static func holds(_ points: [CodePoint]) -> Bool {
        let classes = points.map(\.bidi)
        let rightToLeft: Set<BidiClass> = [.rightToLeft, .arabicLetter, .arabicNumber]
        guard classes.contains(where: rightToLeft.contains) else { return true }
        guard let first = classes.first, let last = classes.last(where: { $0 != .nonspacingMark }) else { return false }
        let common: Set<BidiClass> = [
            .europeanNumber, .europeanSeparator, .commonSeparator, .europeanTerminator, .otherNeutral, .boundaryNeutral, .nonspacingMark,
        ]
        switch first {
        case .rightToLeft, .arabicLetter:
            let ends: Set<BidiClass> = [.rightToLeft, .arabicLetter, .europeanNumber, .arabicNumber]
            return classes.allSatisfy { common.contains($0) || rightToLeft.contains($0) }
                && ends.contains(last)
                && !(classes.contains(.europeanNumber) && classes.contains(.arabicNumber))
        default:
            // A left-to-right string must have no right-to-left code point, and this one has; nothing else may come first.
            return false
        }
    }
}

/// Domainparts that are not plain lower-case ASCII names (RFC 7622 §3.2).
enum Domainpart {
    static func prepare(_ string: String) throws(JIDError) -> String {
        guard !string.utf8.isEmpty else { throw JIDError(.domain, .empty) }
        guard string.utf8.count <= Profile.maximumInput else { throw JIDError(.domain, .tooLong) }
        if string.utf8.first == UInt8(ascii: "[") { return try ipv6Literal(string) }
        // One trailing label separator is stripped before anything else (§3.2): a dot, or a full stop that UTS 46 maps to one.
        let separators: [Unicode.Scalar] = [".", "\u{3002}", "\u{FF0E}", "\u{FF61}"]
        let scalars = string.unicodeScalars
        let name = scalars.last.map(separators.contains) == true ? String(scalars.dropLast()) : string
        guard !name.utf8.isEmpty else { throw JIDError(.domain, .empty) }
        if let address = ipv4(name) { return address }
        let lower = name.utf8.map { ASCII.isUpper($0) ? $0 | 0x20 : $0 }
        if lower.withUnsafeBufferPointer(ASCII.isDomain) { return String(decoding: lower, as: UTF8.self) }
        return try international(name)
    }

    /// IDNA2008: mapped by UTS 46, then every U-label held against the derived property, as UTS 46 alone lets symbols through.
    private static func international(_ name: String) throws(JIDError) -> String {
        guard var unicode = UTF16Text(name).domainToUnicode()?.string, unicode.utf8.last != UInt8(ascii: ".") else {
            throw JIDError(.domain, .malformedDomain)
        }
        // In A-labels the lengths of RFC 1034 are checked too.
        guard UTF16Text(unicode).domainToASCII() != nil else { throw JIDError(.domain, .malformedDomain) }
        for scalar in unicode.unicodeScalars where !scalar.isASCII {
            switch CodePoint(scalar.value).idna {
            case .valid, .contextual: continue  // the context was checked with the mapping
            case .freeform, .disallowed, .unassigned: throw JIDError(.domain, .disallowedCharacter)
            }
        }
        guard unicode.utf8.count <= JID.maximumPartLength else { throw JIDError(.domain, .tooLong) }
        if unicode.utf8.allSatisfy({ $0 < 0x80 }) {
            // Full-width digits, say, may have come out as plain ASCII: those rules then hold for it.
            if let address = ipv4(unicode) { return address }
            guard unicode.withUTF8(ASCII.isDomain) else { throw JIDError(.domain, .malformedDomain) }
        }
        return unicode
    }

    private static func ipv4(_ name: String) -> String? {
        guard name.utf8.allSatisfy({ ASCII.isDigit($0) || $0 == UInt8(ascii: ".") }) else { return nil }
        var address = in_addr()
        guard name.withCString({ inet_pton(AF_INET, $0, &address) }) == 1 else { return nil }
        return name
    }

    /// `[address]` or `[address%25zone]` (RFC 6874 §2), in the one text form of RFC 5952.
    private static func ipv6Literal(_ string: String) throws(JIDError) -> String {
        guard string.utf8.count >= 4, string.utf8.last == UInt8(ascii: "]"), !string.utf8.contains(0) else {
            throw JIDError(.domain, .malformedDomain)
        }
        let inner = String(string.dropFirst().dropLast())
        let halves = inner.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var zone = ""
        if halves.count == 2 {
            let text = halves[1]
            let unreserved = text.utf8.dropFirst(2).allSatisfy { byte in
                ASCII.isLower(byte) || ASCII.isUpper(byte) || ASCII.isDigit(byte) || "-._~".utf8.contains(byte)
            }
            guard text.hasPrefix("25"), text.utf8.count > 2, text.utf8.count <= 66, unreserved else {
                throw JIDError(.domain, .malformedDomain)
            }
            zone = "%" + text
        }
        var address = in6_addr()
        guard let host = halves.first, String(host).withCString({ inet_pton(AF_INET6, $0, &address) }) == 1 else {
            throw JIDError(.domain, .malformedDomain)
        }
        let text = [UInt8](unsafeUninitializedCapacity: Int(INET6_ADDRSTRLEN)) { buffer, count in
            count = buffer.withMemoryRebound(to: CChar.self) { chars in
                inet_ntop(AF_INET6, &address, chars.baseAddress, socklen_t(chars.count)) == nil ? 0 : chars.firstIndex(of: 0) ?? 0
            }
        }
        guard !text.isEmpty else { throw JIDError(.domain, .malformedDomain) }
        return "[" + String(decoding: text, as: UTF8.self) + zone + "]"
    }
}
