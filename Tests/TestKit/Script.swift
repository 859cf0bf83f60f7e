/// A conversation as a text that reads like the XEP. One script runs unchanged in memory, against one process and against
/// three with the users spread over them.
///
///     # RFC 6121 §8.5.2: a chat message to a bare JID
///     contacts romeo juliet
///     online   romeo/orchard  juliet/balcony
///     romeo/orchard sends      <message to='{juliet}' type='chat'><body>hi</body></message>
///     juliet/balcony receives  <message from='{romeo/orchard}' to='{juliet}' type='chat'><body>hi</body></message>
///     romeo/orchard receives nothing
///
/// `stranger bill` opens a stream that does not authenticate: `bill` sends and receives on it, and has no account but the one he makes with
/// the password `{password}`; `{user:bill}` is his localpart.
///
/// Lines that begin with white space continue the line before. `{romeo}` is a bare JID, `{romeo/orchard}` a full one,
/// `{domain}` the domain; in what is received `{any}` stands for any value of an attribute or any text, and `<any/>` for one
/// element of any kind; `<any more='yes'/>` stands for any others and `<any none='stanza-id'/>` for no element of that name (or `var`). `{:name}` takes the value that stands there when it is first received, and is that value from then on.
/// `setting search.enabled = true`, `setting host.archive = true` before the first step ask for a server with other
/// settings than the default ones. After `component plays` there is an actor `plays`, which speaks for the domain `{plays}` and for
/// addresses as `{puck@plays}` (XEP-0114). What is received must be the oldest that is left of its sender. When an actor binds its resource again,
/// the session before is called `romeo/orchard!`.
///
/// Stream management (XEP-0198): an actor enables it by sending `<enable/>`. `<a/>` and `<r/>` are no stanzas and not shown;
/// `romeo/orchard asks 3` asks, and three of its stanzas must be handled; `romeo/orchard acknowledges 2` is for the first two it saw,
/// without a number for all. `romeo/orchard resumes 2` says on a new stream, at the next node, that it has the first two;
/// `romeo/orchard resumes <failed …/>` is refused.
public struct Script: Sendable {
    public enum Action: Sendable, Equatable {
        /// Both subscribe to each other and approve.
        case contacts(String, String)
        /// Connects, binds, asks for the roster, sends presence; what that causes is not looked at.
        case online([String])
        /// Connects, without an account.
        case stranger(String)
        /// Connects and binds.
        case bound([String])
        case sends(String, xml: String)
        case receives(String, xml: String)
        case receivesNothing(String)
        /// Closes the stream.
        case leaves(String)
        /// Loses the socket.
        case drops(String)
        /// The server ended the stream with this condition.
        case ends(String, condition: String)
        /// Forgets what an actor received and did not look at.
        case ignores(String)
        case clock(seconds: Int64)
        /// From now on nothing that one sends reaches the other: a theatre does not wait for it.
        case parted(String, String)
        /// Answers the request that was received last with a result that has this in it.
        case answers(String, xml: String)
        /// Answers it with an error.
        case refuses(String, xml: String)
        /// Asks what is handled: so many of its stanzas are.
        case asks(String, handled: Int)
        /// Acknowledges the first of what it received, or everything.
        case acknowledges(String, visible: Int?)
        /// Resumes its session over another stream, or hears why not.
        case resumes(String, visible: Int?, refusal: String?)
        /// A component connects.
        case component(String)
    }

    /// A line of the configuration: its table ("host" for a key of the host), and the key with its value.
    public struct Setting: Sendable, Equatable {
        public var table: String
        public var line: String

        public init(table: String, line: String) {
            self.table = table
            self.line = line
        }
    }

    public struct Step: Sendable {
        public var line: Int
        public var action: Action
    }

    public var name: String
    public var steps: [Step]
    /// What the server must be set to.
    public var settings: [Setting] = []

    public struct Malformed: Error, CustomStringConvertible {
        public var description: String
    }

    public init(name: String, text: String) throws(Malformed) {
        self.name = name
        steps = []
        var logical: [(line: Int, text: String)] = []
        for (number, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if raw.allSatisfy(\.isWhitespace) || raw.hasPrefix("#") { continue }
            if raw.first?.isWhitespace == true, !logical.isEmpty {
                // XML goes on where it was; words stay apart.
                let last = logical.count - 1
                if !logical[last].text.contains("<") { logical[last].text += " " }
                logical[last].text += raw.drop(while: \.isWhitespace)
            } else {
                logical.append((number + 1, String(raw)))
            }
        }
        for (line, text) in logical {
            if let setting = try Self.setting(text, name: name, line: line) {
                settings.append(setting)
                continue
            }
            steps.append(Step(line: line, action: try Self.parse(text, name: name, line: line)))
        }
    }

    private static func setting(_ text: String, name: String, line: Int) throws(Malformed) -> Setting? {
        guard text.hasPrefix("setting ") else { return nil }
        let parts = text.dropFirst("setting ".count).drop(while: \.isWhitespace).split(separator: ".", maxSplits: 1)
        guard parts.count == 2, parts[1].contains("=") else {
            throw Malformed(description: "\(name):\(line): setting needs TABLE.KEY = VALUE")
        }
        return Setting(table: String(parts[0]), line: String(parts[1]))
    }

    private static func parse(_ text: String, name: String, line: Int) throws(Malformed) -> Action {
        let words = text.split(maxSplits: 2, whereSeparator: \.isWhitespace).map(String.init)
        let rest = text.split(whereSeparator: \.isWhitespace).map(String.init)
        func malformed(_ why: String) -> Malformed { Malformed(description: "\(name):\(line): \(why)") }
        guard let first = words.first, words.count >= 2 else { throw malformed("a step needs two words") }
        switch first {
        case "contacts":
            guard rest.count == 3 else { throw malformed("contacts needs two names") }
            return .contacts(rest[1], rest[2])
        case "stranger":
            guard rest.count == 2 else { throw malformed("stranger needs a name") }
            return .stranger(rest[1])
        case "parted":
            guard rest.count == 3 else { throw malformed("parted needs two names") }
            return .parted(rest[1], rest[2])
        case "online": return .online(Array(rest.dropFirst()))
        case "component":
            guard rest.count == 2 else { throw malformed("component needs one name") }
            return .component(rest[1])
        case "bound": return .bound(Array(rest.dropFirst()))
        case "clock":
            guard words[1].hasPrefix("+"), words[1].hasSuffix("s"), let seconds = Int64(words[1].dropFirst().dropLast()) else {
                throw malformed("clock needs +SECONDSs")
            }
            return .clock(seconds: seconds)
        default: break
        }
        let argument = words.count > 2 ? String(words[2].drop(while: \.isWhitespace)) : ""
        switch words[1] {
        case "sends": return .sends(first, xml: argument)
        case "receives": return argument == "nothing" ? .receivesNothing(first) : .receives(first, xml: argument)
        case "answers": return .answers(first, xml: argument)
        case "refuses": return .refuses(first, xml: argument)
        case "leaves": return .leaves(first)
        case "drops": return .drops(first)
        case "ends": return .ends(first, condition: argument)
        case "asks":
            guard let handled = Int(argument) else { throw malformed("asks needs the number of stanzas that are handled") }
            return .asks(first, handled: handled)
        case "acknowledges":
            guard argument.isEmpty || Int(argument) != nil else { throw malformed("acknowledges needs a number, or nothing") }
            return .acknowledges(first, visible: Int(argument))
        case "resumes":
            let number = argument.prefix { $0.isNumber }
            let answer = argument.dropFirst(number.count).drop(while: \.isWhitespace)
            return .resumes(first, visible: Int(number), refusal: answer.isEmpty ? nil : String(answer))
        case "ignores": return .ignores(first)
        default: throw malformed("nobody knows how to “\(words[1])”")
        }
    }

    /// The components that act.
    public var components: Set<String> {
        Set(steps.compactMap { if case .component(let name) = $0.action { name } else { nil } })
    }

    /// The people who act, in the order of their first line.
    public var people: [String] {
        var people: [String] = []
        let components = components
        func add(_ actor: String) {
            let person = String(actor.split(separator: "/").first ?? "")
            if !components.contains(actor.filter { $0 != "!" }), !people.contains(person) { people.append(person) }
        }
        for step in steps {
            switch step.action {
            case .contacts(let a, let b), .parted(let a, let b):
                add(a)
                add(b)
            case .online(let all), .bound(let all): for actor in all { add(actor) }
            case .sends(let a, _), .receives(let a, _), .answers(let a, _), .refuses(let a, _), .receivesNothing(let a), .leaves(let a),
                .drops(let a), .ends(let a, _), .ignores(let a), .asks(let a, _), .acknowledges(let a, _), .resumes(let a, _, _):
                add(a)
            case .clock, .component, .stranger: break
            }
        }
        return people.filter { !strangers.contains($0) }
    }

    /// Those who have no account when the script begins.
    public var strangers: Set<String> {
        Set(steps.compactMap { step in if case .stranger(let name) = step.action { name } else { nil } })
    }
}

extension Script {
    /// The settings as tables of a configuration, the one of the host last: it may do without TLS, as the tests are on loopback.
    static func tables(_ settings: [Setting], domain: String) -> [(header: String, lines: [String])] {
        var tables: [(header: String, lines: [String])] = []
        for setting in settings where setting.table != "host" {
            let header = "[\(setting.table)]"
            if let index = tables.firstIndex(where: { $0.header == header }) {
                tables[index].lines.append(setting.line)
            } else {
                tables.append((header, [setting.line]))
            }
        }
        let host = ["domain = \"\(domain)\"", "require_tls = false"] + settings.filter { $0.table == "host" }.map(\.line)
        return tables + [("[[host]]", host)]
    }
}
