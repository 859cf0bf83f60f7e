public import Stanzas
internal import XMLStream

/// A command that the server offers to people (XEP-0050): declared by a module like everything else it handles.
public struct AdHocCommand {
    /// Its name among the nodes of the host, as `urn:xmpp:invite#invite`.
    public var node: String
    /// What a menu calls it.
    public var title: String
    /// Whether it is there for somebody.
    public var isOffered: (_ asker: JID, _ host: String) -> Bool
    /// Runs it, from its first stage to its end.
    public var run: (CommandRun) -> Void

    public init(
        _ node: String, title: String, offered isOffered: @escaping (_ asker: JID, _ host: String) -> Bool,
        run: @escaping (CommandRun) -> Void
    ) {
        self.node = node
        self.title = title
        self.isOffered = isOffered
        self.run = run
    }
}

/// One execution of a command. Each stage asks for a form, and what follows is given with it, so that a command reads from its first
/// line to its last; whoever runs it says exactly once for each request what is next: `ask`, `finish` or `fail`.
///
/// Confined to the loop of its asker's home.
public final class CommandRun {
    /// Something to be said beside the form (XEP-0050 §4.3).
    public struct Note: Hashable, Sendable {
        public enum Kind: String, Hashable, Sendable { case info, warn, error }
        public var kind: Kind
        public var text: String
        public init(_ kind: Kind, _ text: String) {
            self.kind = kind
            self.text = text
        }
    }

    /// What a request of the asker is answered with.
    public enum Outcome {
        /// A form is shown.
        case stage(DataForm, isLast: Bool)
        /// The command is over; serialised elements and notes.
        case completed([UInt8], [Note])
        /// The request failed; the stage stands.
        case failed(StanzaError)
    }

    private struct Stage {
        var form: DataForm
        var isLast: Bool
        var then: (DataForm) -> Void
    }

    /// Full JID.
    public let asker: JID
    /// The host that was asked.
    public let host: String
    /// The turn of the request that is being answered.
    public private(set) var turn: Turn
    private var stages: [Stage] = []
    private var answer: ((Outcome) -> Void)?

    public init(asker: JID, host: String, turn: Turn) {
        self.asker = asker
        self.host = host
        self.turn = turn
    }

    // MARK: What a command says

    /// Shows a form and goes on with what the asker filled in, which has every required field and fits their types.
    ///
    /// - Parameter isLast: whether the command is done with it (`complete`), or goes on (`next`).
    public func ask(_ form: DataForm, isLast: Bool = true, then: @escaping (DataForm) -> Void) {
        stages.append(Stage(form: form, isLast: isLast, then: then))
        say(.stage(form, isLast: isLast))
    }

    /// The command is done: with a form for the asker, or with notes alone. One that failed says so in a note of kind error (§3.6).
    public func finish(_ form: DataForm? = nil, notes: [Note] = []) {
        var writer = XMLWriter()
        form?.write(into: &writer)
        finish(writer.bytes, notes: notes)
    }

    /// The same with elements that are no form, serialised.
    public func finish(_ xml: [UInt8], notes: [Note] = []) { say(.completed(xml, notes)) }

    /// The request is refused; the asker may send the form again.
    public func fail(_ error: StanzaError) { say(.failed(error)) }

    private func say(_ outcome: Outcome) {
        let answer = answer
        self.answer = nil
        answer?(outcome)
    }

    // MARK: What the asker does

    /// Whether a request is being worked on.
    public var isBusy: Bool { answer != nil }
    /// Whether there is a stage before this one.
    public var canGoBack: Bool { stages.count > 1 }
    /// Whether this stage is the last.
    public var isLastStage: Bool { stages.last?.isLast ?? true }

    /// Begins: `command.run` is called with this.
    public func begin(_ command: AdHocCommand, answer: @escaping (Outcome) -> Void) {
        self.answer = answer
        command.run(self)
    }

    /// Back to the form before this one.
    public func goBack(turn: Turn, answer: @escaping (Outcome) -> Void) {
        guard canGoBack else { return }
        self.turn = turn
        stages.removeLast()
        guard let stage = stages.last else { return }
        answer(.stage(stage.form, isLast: stage.isLast))
    }

    /// It is over: what the stages hold is let go, and who still waits for an answer hears of it.
    public func close() {
        stages.removeAll()
        answer = nil
    }

    /// The form of this stage, filled in. Answers what is wrong with it; nil when it fits, and then `answer` is called once, now or later.
    public func submit(_ form: DataForm?, turn: Turn, answer: @escaping (Outcome) -> Void) -> String? {
        guard let stage = stages.last else { return "There is nothing to fill in" }
        guard let form else { return "The form is missing" }
        if let fault = stage.form.fault(in: form) { return fault }
        self.turn = turn
        self.answer = answer
        stage.then(form)
        return nil
    }
}
