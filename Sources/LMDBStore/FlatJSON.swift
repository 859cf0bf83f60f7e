/// The little JSON that a manifest is: one object of texts and whole numbers.
enum FlatJSON {
    enum Value: Equatable {
        case text(String)
        case integer(UInt64)
    }

    typealias Member = (name: String, value: Value)

    /// The object, a member a line.
    static func text(_ members: [(String, Value)]) -> String {
        let lines = members.map { name, value in
            switch value {
            case .text(let text): "  \(quote(name)): \(quote(text))"
            case .integer(let integer): "  \(quote(name)): \(integer)"
            }
        }
        return "{\n" + lines.joined(separator: ",\n") + "\n}\n"
    }

    private static func quote(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// The members of an object in their order; nil for anything that `text` would not write, but for white space.
    static func members(_ bytes: [UInt8]) -> [Member]? {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var reader = Reader(rest: text.unicodeScalars[...])
        guard reader.take("{") else { return nil }
        var members: [Member] = []
        repeat {
            guard let name = reader.string(), reader.take(":"), let value = reader.value() else { return nil }
            guard !members.contains(where: { $0.name == name }) else { return nil }
            members.append((name, value))
        } while reader.take(",")
        guard reader.take("}"), reader.isAtEnd else { return nil }
        return members
    }

    private struct Reader {
        var rest: Substring.UnicodeScalarView

        mutating func skip() { rest = rest.drop { $0 == " " || $0 == "\n" || $0 == "\r" || $0 == "\t" } }

        var isAtEnd: Bool {
            mutating get {
                skip()
                return rest.isEmpty
            }
        }

        mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            skip()
            guard rest.first == scalar else { return false }
            rest.removeFirst()
            return true
        }

        mutating func value() -> Value? {
            skip()
            if rest.first == "\"" { return string().map(Value.text) }
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest.dropFirst(digits.count)
            return UInt64(String(digits)).map(Value.integer)
        }

        mutating func string() -> String? {
            guard take("\"") else { return nil }
            var text = String.UnicodeScalarView()
            while let scalar = rest.popFirst() {
                switch scalar {
                case "\"": return String(text)
                case "\\":
                    switch rest.popFirst() {
                    case "\""?: text.append("\"")
                    case "\\"?: text.append("\\")
                    case "u"?:
                        let digits = rest.prefix(4)
                        rest = rest.dropFirst(4)
                        guard digits.count == 4, let code = UInt32(String(digits), radix: 16), let scalar = Unicode.Scalar(code) else {
                            return nil
                        }
                        text.append(scalar)
                    default: return nil
                    }
                case _ where scalar.value < 0x20: return nil
                default: text.append(scalar)
                }
            }
            return nil
        }
    }
}
