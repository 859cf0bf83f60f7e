import Bus
import BusProtocol
import Glibc
import Logging
import Settings

/// A node for tests that are about processes: sends every payload back on its lane, and ends with its standard input.
final class Echo: BusDelegate {
    nonisolated(unsafe) static var links: StanzaLinks?

    func busNodeUp(_ node: NodeInfo) {}
    func busNodeDown(_ node: NodeID, reason: NodeDownReason) {}
    func busReceived(_ payload: [UInt8], from: NodeID, fromLoop: UInt16, toLoop: UInt16, lane: Lane) {
        Echo.links?.post(payload, to: from, fromLoop: toLoop, toLoop: fromLoop, lane: lane)
    }
}

guard CommandLine.arguments.count == 5, let beat = Int(CommandLine.arguments[3]), let missed = Int(CommandLine.arguments[4]) else {
    exit(64)
}
var settings = Settings.Cluster()
settings.beatMilliseconds = beat
settings.missedBeats = missed
let me = NodeInfo.ofThisProcess(
    name: CommandLine.arguments[2], featureLevel: 1, loops: 1, volumeID: Array("test".utf8), product: "Martlet test peer")
let links = StanzaLinks(
    directory: CommandLine.arguments[1], me: me, settings: settings, delegate: Echo(),
    logger: Logger(label: "peer") { _ in SwiftLogNoOpLogHandler() })
Echo.links = links
try links.start()
var line = [UInt8](repeating: 0, count: 256)
while true {
    let count = read(STDIN_FILENO, &line, line.count)
    // A line asks for a goodbye; the end of the input is an end without one.
    if count > 0 { links.goodbye() }
    if count <= 0 { break }
}
links.stop()
