import AdminLanguage
import ServerCore
import Settings

/// What a node is asked about its log: to change an area's level, or only to tell.
public struct LogQuestion: Sendable, Equatable {
    /// Empty: all of them.
    public var area: String
    /// Empty: nothing is changed.
    public var level: String
    /// Empty: every node.
    public var node: String

    /// The level that means what the settings say.
    public static let configured = "configured"

    var bytes: [UInt8] { Array("\(area) \(level) \(node)".utf8) }

    init(area: String = "", level: String = "", node: String = "") { (self.area, self.level, self.node) = (area, level, node) }

    init?(_ bytes: ArraySlice<UInt8>) {
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard words.count == 3 else { return nil }
        self.init(area: words[0], level: words[1], node: words[2])
        guard area.isEmpty || LogArea(rawValue: area) != nil else { return nil }
        guard level.isEmpty || level == Self.configured || Settings.Log.levels.contains(level) else { return nil }
    }
}

/// `log level`.
extension Commands {
    func logLevel(_ invocation: Invocation, _ sink: ReplySink) {
        let areas = LogArea.allCases.map(\.rawValue)
        let area = invocation.text("AREA") ?? "all"
        guard area == "all" || areas.contains(area) else {
            return sink.fail(
                .invalid, "there is no area \(Words.visible(area)) of the log; the areas are all, \(areas.joined(separator: ", "))")
        }
        let level = invocation.text("LEVEL") ?? ""
        guard level.isEmpty || level == LogQuestion.configured || Settings.Log.levels.contains(level) else {
            let known = (Settings.Log.levels + [LogQuestion.configured]).joined(separator: ", ")
            return sink.fail(.invalid, "there is no level \(Words.visible(level)); the levels are \(known)")
        }
        let node = invocation.option("node") ?? ""
        let question = LogQuestion(area: area == "all" ? "" : area, level: level, node: node)
        askNodes(.log(question), sink) { nodes, silent in
            guard node.isEmpty || !nodes.isEmpty else {
                return sink.fail(silent.isEmpty ? .notFound : .partial, "no node \(node) answered; node list shows those that do")
            }
            sink.write { reply in
                reply.table("levels", ["node", "area", "level", "configured", "what"])
                for facts in nodes {
                    for shown in LogArea.allCases where area == "all" || shown.rawValue == area {
                        reply.row(
                            facts["node"], .text(shown.rawValue), facts["level." + shown.rawValue], facts["configured." + shown.rawValue],
                            .text(shown.says))
                    }
                }
            }
            endScatter(silent, sink, ok: level.isEmpty ? "" : "\(area == "all" ? "all areas log" : "\(area) logs") from \(level) on")
        }
    }
}
