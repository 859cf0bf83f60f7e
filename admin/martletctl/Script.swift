internal import AdminLanguage
internal import Glibc

/// Commands from standard input, a line each; `#` begins a comment.
struct Script {
    let options: Options

    func run() throws(Failure) -> ExitStatus {
        let input = Input(STDIN_FILENO, endsAtDot: true)
        let runner = Runner(options: options, link: Link(options), input: input, display: Display(isJSON: options.json))
        var first: ExitStatus?
        var number = 0
        // A terminal that cannot be drawn on: whoever sits there sees what failed and goes on.
        let isForgiving = options.keepsGoing || input.isTerminal
        while let bytes = try input.line() {
            number += 1
            let line = String(decoding: bytes.last == UInt8(ascii: "\r") ? bytes.dropLast() : bytes[...], as: UTF8.self)
            do {
                let words = try Words.split(line).map(\.text)
                guard let word = words.first, !word.utf8.starts(with: "#".utf8) else { continue }
                if words == ["quit"] || words == ["exit"] { break }
                let status = try runner.run(options.with(words))
                if status == .success { continue }
                first = first ?? status
            } catch let error as LineError {
                first = first ?? .usage
                runner.display.error("martletctl: \(Words.visible(error.sentence))\n")
            } catch let failure as Failure {
                first = first ?? failure.status
                runner.display.error("martletctl: \(Words.visible(failure.sentence))\n")
            } catch {
                first = first ?? .failure
                runner.display.error("martletctl: \(error)\n")
            }
            runner.display.error("martletctl: line \(number) failed: \(Words.visible(CellWidth.shortened(line, to: 200)))\n")
            guard isForgiving else { break }
        }
        return first ?? .success
    }
}
