public import Stanzas

/// A write on its way to the home of its account, kept until it is answered: sent again to a new home, applied once.
struct PendingCommand {
    var letter: CommandLetter
    var completion: (CommandResult) -> Void
}

/// A question to every shard of the cluster.
struct PendingQuestion {
    var awaited: Set<ShardAddress>
    var part: ([UInt8]) -> Void
    var done: (_ silentNodes: Set<UInt64>) -> Void
    var timer: (any LoopTimer)?
    /// Nodes that join while it is open are asked too.
    var forNewcomers: [UInt8]?
}

extension Shard {
    /// Sends a write to the home of an account. The completion comes on this loop, once; after `deadline` without a home it fails.
    public func command(
        _ command: AccountCommand, for account: JID, deadline: Duration = .seconds(10), completion: @escaping (CommandResult) -> Void
    ) {
        nextCommand += 1
        let letter = CommandLetter(id: nextCommand, replyTo: address, account: account.bare, command: command)
        pendingCommands[letter.id] = PendingCommand(letter: letter, completion: completion)
        let id = letter.id
        _ = loop.schedule(after: deadline) {
            self.enter { shard in
                shard.pendingCommands.removeValue(forKey: id)?.completion(
                    .failed(
                        "nobody answered for \(account.bare) in time; the command may or may not have been carried out, look and repeat it")
                )
            }
        }
        send(letter)
    }

    func send(_ letter: CommandLetter) {
        guard let home = placement.home(of: letter.account) else { return }
        post(.command(letter), to: home)
    }

    /// Asks every shard of the cluster, on the bulk lane. Answers stream in through `part`; `done` names the nodes that live and did
    /// not answer within `deadline`. One that ends meanwhile is none of the cluster's any more, and nothing of it is missing.
    ///
    /// - Parameter isStanding: nodes that join meanwhile are asked too, and `dropQuestion` ends it.
    public func ask(
        _ question: [UInt8], deadline: Duration = .seconds(2), isStanding: Bool = false, part: @escaping ([UInt8]) -> Void,
        done: @escaping (_ silentNodes: Set<UInt64>) -> Void
    ) {
        nextCommand += 1
        let id = nextCommand
        var awaited: Set<ShardAddress> = []
        for (node, loops) in members { for loop in 0..<loops { awaited.insert(ShardAddress(node: node, loop: loop)) } }
        var pending = PendingQuestion(awaited: awaited, part: part, done: done)
        pending.timer = loop.schedule(after: deadline) {
            self.enter { shard in
                guard let question = shard.pendingQuestions.removeValue(forKey: id) else { return }
                question.done(Set(question.awaited.map(\.node)))
            }
        }
        if isStanding { pending.forNewcomers = question }
        pendingQuestions[id] = pending
        for shard in awaited { post(.ask(id: id, from: address, question: question), to: shard) }
    }

    /// Nobody waits for the answers to a standing question any more: nothing is called.
    func dropQuestion(_ question: [UInt8]) {
        for (id, pending) in pendingQuestions where pending.forNewcomers == question {
            pending.timer?.cancel()
            pendingQuestions[id] = nil
        }
    }

    /// Puts the standing questions to a node that joined.
    func askNewcomer(_ node: UInt64, loops: UInt16) {
        for (id, pending) in pendingQuestions {
            guard let question = pending.forNewcomers else { continue }
            for loop in 0..<loops {
                let shard = ShardAddress(node: node, loop: loop)
                pendingQuestions[id]?.awaited.insert(shard)
                post(.ask(id: id, from: address, question: question), to: shard)
            }
        }
    }

    /// Says something to the first loop of one node; nobody waits for an answer.
    public func tell(_ question: [UInt8], node: UInt64) {
        nextCommand += 1
        post(.ask(id: nextCommand, from: address, question: question), to: ShardAddress(node: node, loop: 0))
    }

    func answerArrived(_ id: UInt64, _ part: [UInt8], last: Bool, from: ShardAddress) {
        guard let pending = pendingQuestions[id] else { return }
        if !part.isEmpty { pending.part(part) }
        if last { questionAnswered(id, by: [from]) }
    }

    /// Nothing more comes from a node that is down.
    func questionsLost(_ node: UInt64) {
        for (id, question) in pendingQuestions { questionAnswered(id, by: question.awaited.filter { $0.node == node }) }
    }

    private func questionAnswered(_ id: UInt64, by shards: Set<ShardAddress>) {
        pendingQuestions[id]?.awaited.subtract(shards)
        guard let pending = pendingQuestions[id], pending.awaited.isEmpty else { return }
        pendingQuestions[id] = nil
        pending.timer?.cancel()
        pending.done([])
    }
}
