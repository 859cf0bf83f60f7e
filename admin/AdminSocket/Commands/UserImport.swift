import AdminLanguage
import Authentication
import ServerCore
import Settings
import Stanzas
import Synchronization

extension Commands {
    /// A command whose lines come through the returned consumer; `room` is called when it has room again.
    func lines(of invocation: Invocation, _ sink: ReplySink, room: @escaping @Sendable () -> Void) -> any LineConsumer {
        switch invocation.command.name {
        case "import xep0227": portableImport(invocation, sink, room: room)
        case "vcard set":
            TextInput(bound: core.settings.profile.vCardBytes + TextInput.slack, sink) { setVCard(invocation, $0, sink) }
        case "message send": TextInput(bound: Announcement.bound, sink) { sendMessage(invocation, $0, sink) }
        case "message broadcast": TextInput(bound: Announcement.bound, sink) { broadcast(invocation, $0, sink) }
        default: UserImport(commands: self, keys: invocation.flag("keys"), sink: sink, room: room)
        }
    }
}

/// Many accounts from lines. A bounded number is in work at a time; each refused line is named with its number and reason.
final class UserImport: LineConsumer {
    private struct State {
        var lines = 0
        var inWork = 0
        var added = 0
        var refused = 0
        var isFinishing = false
        var isOver = false
        var wasFull = false
    }

    private static let window = 256
    private let commands: Commands
    private let keys: Bool
    private let sink: ReplySink
    private let room: @Sendable () -> Void
    private let state = Mutex(State())

    init(commands: Commands, keys: Bool, sink: ReplySink, room: @escaping @Sendable () -> Void) {
        self.commands = commands
        self.keys = keys
        self.sink = sink
        self.room = room
    }

    var longestLine: Int { Words.longestRequest }

    var isFull: Bool {
        state.withLock { state in
            state.wasFull = state.inWork >= Self.window
            return state.wasFull
        }
    }

    func take(_ line: String) {
        let number = begin()
        do throws(ImportLine.Refusal) {
            guard let parsed = try ImportLine.parse(line, keys: keys) else { return skip() }
            switch parsed {
            case .password(let text, let password):
                guard let jid = account(text, number) else { return }
                let isTaken = commands.context.passwords.derive(password: password, iterations: commands.context.iterations) { result in
                    switch result {
                    case .success(let credentials): self.create(jid, credentials, number)
                    case .failure(let error): self.end(number, refusal: "the password cannot be used: \(error)")
                    }
                }
                if !isTaken { end(number, refusal: "too many passwords are being checked or set at the moment; send the line again") }
            case .keys(let text, let keys):
                guard let jid = account(text, number) else { return }
                do throws(CredentialsError) {
                    create(jid, try Credentials(importing: keys), number)
                } catch {
                    end(number, refusal: "\(error)")
                }
            }
        } catch {
            end(number, refusal: error.sentence)
        }
    }

    func takeUnreadable() { end(begin(), refusal: "the line is longer than \(ImportLine.longest) bytes or is not UTF-8") }

    func finish() {
        let isOver = state.withLock { state in
            state.isFinishing = true
            return state.inWork == 0
        }
        if isOver { report() }
    }

    func abandon() { state.withLock { $0.isOver = true } }

    private func begin() -> Int {
        state.withLock { state in
            state.lines += 1
            state.inWork += 1
            return state.lines
        }
    }

    /// An empty line.
    private func skip() { leave { _ in } }

    private func account(_ text: String, _ number: Int) -> JID? {
        guard let jid = try? JID(text), jid.local != nil, jid.isBare else {
            end(number, refusal: "\(text) is not a JID of the form user@host")
            return nil
        }
        guard commands.core.hosts[jid.domain] != nil else {
            end(number, refusal: "\(jid.domain) is not a host of this server")
            return nil
        }
        return jid
    }

    private func create(_ jid: JID, _ credentials: Credentials, _ number: Int) {
        commands.send(.create(credentials: credentials.encode()), to: jid) { result in
            switch result {
            case .done, .value: self.end(number, refusal: nil)
            case .exists: self.end(number, refusal: "the account \(jid) is there already")
            case .notFound: self.end(number, refusal: "the home of \(jid) does not know it")
            case .failed(let why): self.end(number, refusal: why)
            }
        }
    }

    private func end(_ number: Int, refusal: String?) {
        if let refusal { sink.write { $0.warning("line \(number): \(refusal)") } }
        leave { state in if refusal == nil { state.added += 1 } else { state.refused += 1 } }
    }

    private func leave(_ note: (inout State) -> Void) {
        let (progress, hasRoom, isOver) = state.withLock { state in
            note(&state)
            state.inWork -= 1
            let done = state.added + state.refused
            let hasRoom = state.wasFull && state.inWork <= Self.window / 2
            if hasRoom { state.wasFull = false }
            return (done > 0 && done % 100 == 0 ? done : nil, hasRoom, state.isFinishing && state.inWork == 0 && !state.isOver)
        }
        if let progress { sink.write { $0.progress(progress, of: Int?.none) } }
        if hasRoom { room() }
        if isOver { report() }
    }

    private func report() {
        let (added, refused, wasOver) = state.withLock { state in
            defer { state.isOver = true }
            return (state.added, state.refused, state.isOver)
        }
        guard !wasOver else { return }
        sink.end { reply in
            if refused == 0 {
                reply.ok("accounts added: \(added)")
            } else {
                reply.error(.partial, "accounts added: \(added), lines refused: \(refused)")
            }
        }
    }
}
