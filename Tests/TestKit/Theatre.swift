import XMLStream

/// Where a script is played. Names are given whole: the stage maps `romeo` to an account of its own for each play.
public protocol Theatre: AnyObject {
    var domain: String { get }
    /// Makes an account if there is none.
    func addAccount(_ name: String) async throws
    /// Connects a client of an account and binds the resource.
    func connect(_ name: String, resource: String) async throws -> any Player
    /// Opens a stream that does not authenticate.
    func visit() async throws -> any Player
    /// Connects the component `name.domain`, one of those that every theatre is configured for.
    func connectComponent(_ name: String) async throws -> any Player
    /// Connects a client of an account to another node and resumes the session of a player (XEP-0198 §5).
    ///
    /// - Parameter h: what it says to have received, as the script counts; nil: everything.
    /// - Returns: the player on the new stream, or what the server answered instead of `<resumed/>`.
    func resume(_ name: String, from player: any Player, h: Int?) async throws -> (player: (any Player)?, refusal: String?)
    func advanceClock(seconds: Int64) async throws
    /// How long something may still come after `settle`: what other threads than loops work on, a read of the store or a password, is
    /// behind no fence.
    var patience: Duration { get }
    /// From now on nothing that one of two accounts sends reaches the other.
    func part(_ name: String, _ other: String)
    /// Returns when everything that the players sent so far has had all its consequences.
    func settle(_ players: [any Player]) async throws
}

extension Theatre {
    public func part(_ name: String, _ other: String) {}
}

/// One client in a theatre.
public protocol Player: AnyObject {
    /// Full JID; the domain of a component.
    var jid: String { get }
    func send(_ xml: String) async throws
    /// Everything received since the last call, as whole elements.
    func takeReceived() async throws -> [String]
    func leave() async throws
    func drop() async throws
    /// The condition of the stream error that ended the stream, "closed" when it was closed without one, nil while it stands.
    func endCondition() async throws -> String?
    /// Stream management, once it is enabled.
    var management: ClientManagement? { get }
}

extension Player {
    public var management: ClientManagement? { nil }
}

/// What a play found wrong.
public struct PlayFailure: Error, CustomStringConvertible {
    public var description: String
}

/// Plays a script in a theatre.
public final class Play {
    private let script: Script
    private let theatre: any Theatre
    private let suffix: String
    private var players: [String: any Player] = [:]
    private var queues: [String: [String]] = [:]
    private var lastReceived: [String: Element] = [:]
    private var captured: [String: String] = [:]
    private var dirty = true

    /// - Parameter suffix: Makes the accounts of this play different from those of others in the same theatre.
    public init(_ script: Script, in theatre: any Theatre, suffix: String = "") {
        self.script = script
        self.theatre = theatre
        self.suffix = suffix
    }

    public func run() async throws {
        for person in script.people { try await theatre.addAccount(person + suffix) }
        for step in script.steps {
            do {
                try await perform(step.action)
            } catch {
                throw PlayFailure(description: "\(script.name):\(step.line): \(error)")
            }
        }
        for (_, player) in players where try await player.endCondition() == nil { try await player.leave() }
    }

    private func perform(_ action: Script.Action) async throws {
        switch action {
        case .contacts(let a, let b): try await befriend(a, b)
        case .stranger(let name):
            players[name] = try await theatre.visit()
            queues[name] = []
        case .bound(let actors):
            for actor in actors { _ = try await connect(actor) }
        case .online(let actors):
            for actor in actors {
                let player = try await connect(actor)
                try await player.send("<iq type='get' id='online-roster'><query xmlns='jabber:iq:roster'/></iq>")
                try await player.send("<presence/>")
            }
            try await settle()
            queues.removeAll()
        case .sends(let actor, let xml):
            try await player(actor).send(try fill(xml))
            dirty = true
        case .receives(let actor, let xml): try await patiently { try expect(actor, try fill(xml)) }
        case .receivesNothing(let actor):
            try await settle()
            if let first = queues[actor]?.first { throw PlayFailure(description: "\(actor) received \(first)") }
        case .ignores(let actor):
            try await settle()
            queues[actor] = []
        case .answers(let actor, let xml): try await answer(actor, "result", try fill(xml))
        case .refuses(let actor, let xml): try await answer(actor, "error", try fill(xml))
        case .leaves(let actor):
            try await player(actor).leave()
            dirty = true
        case .drops(let actor):
            try await player(actor).drop()
            dirty = true
        case .ends(let actor, let condition):
            try await patiently {
                let found = try await player(actor).endCondition()
                guard found == condition else {
                    throw PlayFailure(description: "the stream of \(actor) ended with \(found ?? "nothing") instead of \(condition)")
                }
            }
        case .asks(let actor, let handled): try await ask(actor, handled)
        case .acknowledges(let actor, let visible):
            try await settle()
            guard let management = try player(actor).management else {
                throw PlayFailure(description: "\(actor) has no stream management")
            }
            try await player(actor).send("<a xmlns='urn:xmpp:sm:3' h='\(management.count(visible: visible))'/>")
            dirty = true
        case .resumes(let actor, let visible, let refusal): try await resume(actor, visible, refusal)
        case .component(let name): enter(name, try await theatre.connectComponent(name))
        case .parted(let a, let b): theatre.part(a + suffix, b + suffix)
        case .clock(let seconds):
            try await theatre.advanceClock(seconds: seconds)
            dirty = true
        }
    }

    private func connect(_ actor: String) async throws -> any Player {
        let parts = actor.split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { throw PlayFailure(description: "\(actor) needs a resource") }
        if !script.strangers.contains(parts[0]) { try await theatre.addAccount(parts[0] + suffix) }
        let player = try await theatre.connect(parts[0] + suffix, resource: parts[1])
        enter(actor, player)
        return player
    }

    /// Asks what the server has handled. It answers at once, and again as more is handled.
    private func ask(_ actor: String, _ handled: Int) async throws {
        try await settle()
        let player = try player(actor)
        let before = player.management?.answers ?? 0
        try await player.send("<r xmlns='urn:xmpp:sm:3'/>")
        dirty = true
        try await patiently {
            guard let management = player.management, management.answers > before else {
                throw PlayFailure(
                    description: "\(actor) has no answer to its request; its stream: \(try await player.endCondition() ?? "open")")
            }
            guard management.visiblyAcknowledged == handled else {
                throw PlayFailure(description: "\(management.visiblyAcknowledged) stanzas of \(actor) are handled instead of \(handled)")
            }
        }
    }

    /// Settles until what is expected has come, and a while longer where something may come that no fence stands behind.
    private func patiently(_ expectation: () async throws -> Void) async throws {
        try await settle()
        let patience = Deadline(in: theatre.patience)
        while true {
            do {
                return try await expectation()
            } catch let failure as PlayFailure {
                guard !patience.isOver else { throw failure }
                dirty = true
                try await settle()
            }
        }
    }

    private func resume(_ actor: String, _ visible: Int?, _ refusal: String?) async throws {
        let person = String(actor.split(separator: "/").first ?? "") + suffix
        let before = try player(actor)
        let (after, answer) = try await theatre.resume(person, from: before, h: visible)
        dirty = true
        if let after {
            if refusal != nil { throw PlayFailure(description: "\(actor) is resumed") }
            return enter(actor, after)
        }
        let actual = try Element.parse(Array((answer ?? "<nothing/>").utf8))
        guard let refusal else { throw PlayFailure(description: "\(actor) is not resumed: \(answer ?? "")") }
        let expected = try Element.parse(Array(try fill(refusal).utf8))
        if let reason = Matcher.difference(actual, expected, account: bare(String(person.dropLast(suffix.count))), captured: &captured) {
            throw PlayFailure(description: "\(reason)\n    in \(answer ?? "")")
        }
    }

    private func enter(_ actor: String, _ player: any Player) {
        if let before = players[actor] {
            players[actor + "!"] = before
            queues[actor + "!"] = queues[actor]
        }
        players[actor] = player
        queues[actor] = []
        dirty = true
    }

    private func player(_ actor: String) throws -> any Player {
        guard let player = players[actor] else { throw PlayFailure(description: "\(actor) is not on stage") }
        return player
    }

    private func befriend(_ a: String, _ b: String) async throws {
        let one = try await connect(a + "/befriending")
        let two = try await connect(b + "/befriending")
        for (x, y) in [(one, b), (two, a)] { try await x.send("<presence to='\(bare(y))' type='subscribe'/>") }
        dirty = true
        try await settle()
        for (x, y) in [(one, b), (two, a)] { try await x.send("<presence to='\(bare(y))' type='subscribed'/>") }
        dirty = true
        try await settle()
        for actor in [a, b] {
            try await players.removeValue(forKey: actor + "/befriending")?.leave()
            queues[actor + "/befriending"] = nil
        }
        dirty = true
    }

    private func settle() async throws {
        guard dirty else { return }
        dirty = false
        var alive: [any Player] = []
        for player in players.values where try await player.endCondition() == nil { alive.append(player) }
        try await theatre.settle(alive)
        for (actor, player) in players { queues[actor, default: []] += try await player.takeReceived() }
    }

    private func expect(_ actor: String, _ xml: String) throws {
        let expected = try Element.parse(Array(xml.utf8))
        var seen: Set<String> = []
        var reasons: [String] = []
        for (index, text) in (queues[actor] ?? []).enumerated() {
            let actual = try Element.parse(Array(text.utf8))
            guard seen.insert(actual["from"] ?? "").inserted else { continue }
            var caught = captured
            let account = bare(String(actor.prefix { $0 != "/" && $0 != "!" }))
            guard let reason = Matcher.difference(actual, expected, account: account, captured: &caught) else {
                captured = caught
                queues[actor]?.remove(at: index)
                lastReceived[actor] = actual
                return
            }
            reasons.append(reason + "\n    in \(text)")
        }
        let found = reasons.isEmpty ? "received nothing" : "received no such stanza:\n  " + reasons.joined(separator: "\n  ")
        throw PlayFailure(description: "\(actor) \(found)\n  expected \(xml)")
    }

    private func answer(_ actor: String, _ type: String, _ xml: String) async throws {
        guard let request = lastReceived[actor], request.local == "iq", let id = request["id"], let from = request["from"],
            let to = request["to"]
        else { throw PlayFailure(description: "\(actor) received no request to answer") }
        try await player(actor).send("<iq type='\(type)' id='\(id)' from='\(to)' to='\(from)'>\(xml)</iq>")
        dirty = true
    }

    private func bare(_ person: String) -> String { "\(person)\(suffix)@\(theatre.domain)" }

    /// Puts addresses and the like in the place of `{romeo}`, `{romeo/orchard}` and `{domain}`.
    private func fill(_ xml: String) throws -> String {
        var filled = ""
        var rest = Substring(xml)
        while let open = rest.firstIndex(of: "{") {
            filled += rest[..<open]
            guard let close = rest[open...].firstIndex(of: "}") else { throw PlayFailure(description: "a { is not closed") }
            let word = String(rest[rest.index(after: open)..<close])
            switch word {
            case "any": filled += "{any}"
            case "domain": filled += theatre.domain
            case "password": filled += XMPPClient.password
            case _ where word.hasPrefix("user:"): filled += word.dropFirst(5) + suffix
            case let word where word.hasPrefix(":"): filled += captured[String(word.dropFirst())] ?? "{\(word)}"
            default:
                let parts = word.split(separator: "/", maxSplits: 1).map(String.init)
                let user = parts.first ?? ""
                if let name = script.components.first(where: { user == $0 || user.hasSuffix("@" + $0) }) {
                    filled += user.dropLast(name.count) + "\(name).\(theatre.domain)"
                } else {
                    filled += bare(user)
                }
                filled += parts.count > 1 ? "/" + parts[1] : ""
            }
            rest = rest[rest.index(after: close)...]
        }
        return filled + rest
    }
}
