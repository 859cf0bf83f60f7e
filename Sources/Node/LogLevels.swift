import AdminLanguage
import AdminSocket
import Logging
import Settings
import Synchronization

/// What each area logs at least. One instance a process, read with every line that may be logged, and changed while it runs.
final class LogLevels: Sendable {
    /// The level of one area.
    final class Cell: Sendable {
        private let position: Atomic<Int>

        init(_ level: Logger.Level) { position = Atomic(Self.position(of: level)) }

        var level: Logger.Level {
            get { Logger.Level.allCases[position.load(ordering: .relaxed)] }
            set { position.store(Self.position(of: newValue), ordering: .relaxed) }
        }

        private static func position(of level: Logger.Level) -> Int { Logger.Level.allCases.firstIndex(of: level) ?? 0 }
    }

    private let settings: Mutex<Settings.Log>
    private let cells: [LogArea: Cell]
    /// For what libraries log under names of their own.
    private let others: Cell

    init(_ settings: Settings.Log) {
        self.settings = Mutex(settings)
        cells = Dictionary(uniqueKeysWithValues: LogArea.allCases.map { ($0, Cell(Self.level(settings.level(of: $0)))) })
        others = Cell(Self.level(settings.level))
    }

    private static func level(_ name: String) -> Logger.Level { Logger.Level(rawValue: name) ?? .info }

    /// The level that a logger of this name goes by.
    func cell(_ label: String) -> Cell { LogArea(rawValue: label).flatMap { cells[$0] } ?? others }

    /// Takes new settings; what was changed by command is forgotten.
    func apply(_ settings: Settings.Log) {
        self.settings.withLock { $0 = settings }
        for (area, cell) in cells { cell.level = Self.level(settings.level(of: area)) }
        others.level = Self.level(settings.level)
    }

    /// Changes areas, and tells how all are afterwards: a fact an area, its level and the one of the settings.
    func answer(_ question: LogQuestion, node: String) -> NodeFacts {
        if !question.node.isEmpty, question.node != node { return NodeFacts() }
        let settings = settings.withLock { $0 }
        if !question.level.isEmpty {
            for (area, cell) in cells where question.area.isEmpty || question.area == area.rawValue {
                cell.level = Self.level(question.level == LogQuestion.configured ? settings.level(of: area) : question.level)
            }
        }
        var facts = NodeFacts([("node", .text(node))])
        for area in LogArea.allCases {
            facts.facts.append(("level." + area.rawValue, .text(cell(area.rawValue).level.rawValue)))
            facts.facts.append(("configured." + area.rawValue, .text(settings.level(of: area))))
        }
        return facts
    }
}
