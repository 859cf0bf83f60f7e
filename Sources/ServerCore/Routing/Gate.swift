internal import DequeModule
import Stanzas

/// The point of an account where output waits for its commit: everything carries the batch that the account had reached and
/// leaves in order when that batch is durable.
struct Gate {
    enum Output {
        case letter(Letter, to: ShardAddress)
        /// The end of a submission: on a failed commit its sender hears `<resource-constraint/>` instead.
        case completion(Ticket, CompletionHalf, refusal: StanzaError?)
        /// Something to do once everything before it is durable.
        case perform(() -> Void)
    }

    private var waiting: Deque<Output> = []
    /// What each of them waits for: looked at without a copy of the output.
    private var batches: Deque<UInt64> = []

    var isEmpty: Bool { waiting.isEmpty }
    /// The batch the first output waits for.
    var front: UInt64? { batches.first }

    mutating func hold(_ output: consuming Output, until batch: UInt64) {
        waiting.append(output)
        batches.append(batch)
    }

    /// The next output that may leave when `batch` and all before it are durable.
    mutating func next(durable batch: UInt64) -> Output? {
        guard let first = batches.first, first <= batch else { return nil }
        batches.removeFirst()
        return waiting.popFirst()
    }

    /// Everything that waits, in order: after a failed commit.
    mutating func takeAll() -> [Output] {
        let all = Array(waiting)
        waiting.removeAll()
        batches.removeAll()
        return all
    }
}
