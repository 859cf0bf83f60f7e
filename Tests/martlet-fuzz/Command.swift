import Fuzzing
import Glibc

/// What `martlet-fuzz` was asked to do.
struct Command {
    private static let usage = """
        martlet-fuzz TARGET [--seconds N] [--seed S] [--corpus DIR] [--findings DIR]   tries inputs drawn from a seed
        martlet-fuzz TARGET --replay FILE                                               tries one input
        martlet-fuzz TARGET --unpack DIR [--corpus DIR]                                 seeds and kept inputs, a file each
        martlet-fuzz TARGET --pack DIR                                                  prints the files of a directory as kept inputs
        martlet-fuzz TARGET --words                                                     prints the target's dictionary for libFuzzer
        martlet-fuzz TARGET --longest                                                   prints the most bytes of an input
        martlet-fuzz --list                                                             prints the targets
        """

    private let words: [String]

    init(_ arguments: [String]) { words = Array(arguments.dropFirst()) }

    private func option(_ name: String) -> String? {
        guard let index = words.firstIndex(of: name), index + 1 < words.count else { return nil }
        return words[index + 1]
    }

    func run() -> CInt {
        if words.first == "--list" {
            for target in FuzzTarget.all { print("\(target.name)\t\(target.promise)") }
            return 0
        }
        guard let name = words.first, let target = FuzzTarget.named(name) else {
            print(Self.usage)
            return 2
        }
        guard let kept = Corpus.inputs(of: name, in: option("--corpus") ?? Corpus.folder) else {
            print("martlet-fuzz: the kept inputs of \(name) cannot be read")
            return 2
        }
        if words.contains("--longest") {
            print(target.longest)
            return 0
        }
        if words.contains("--words") { return dictionary(target) }
        if let folder = option("--unpack") { return unpack(Fuzzer(target, kept: kept).inputs, folder) }
        if let folder = option("--pack") {
            print(Corpus.text(Corpus.files(in: folder).compactMap { Corpus.bytes(of: $0) }), terminator: "")
            return 0
        }
        if let file = option("--replay") { return replay(target, file) }
        return fuzz(target, kept)
    }

    private func replay(_ target: FuzzTarget, _ file: String) -> CInt {
        guard let input = Corpus.bytes(of: file) else {
            print("martlet-fuzz: \(file) cannot be read")
            return 2
        }
        do throws(Breach) {
            try target.run(input)
            print("\(target.name): every promise held")
            return 0
        } catch {
            print("\(target.name): \(error)")
            return 1
        }
    }

    private func unpack(_ inputs: [[UInt8]], _ folder: String) -> CInt {
        for (number, input) in inputs.enumerated() where !Corpus.write(input, to: "\(folder)/\(number)") { return 2 }
        return 0
    }

    /// The form of libFuzzer's dictionaries: quoted, all but plain letters as \xAB.
    private func dictionary(_ target: FuzzTarget) -> CInt {
        let digits = Array("0123456789ABCDEF")
        for word in target.dictionary {
            let text = word.map { byte in
                (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte)
                    ? String(UnicodeScalar(byte)) : "\\x\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
            print("\"\(text.joined())\"")
        }
        return 0
    }

    private func fuzz(_ target: FuzzTarget, _ kept: [[UInt8]]) -> CInt {
        let seconds = option("--seconds").flatMap { Int($0) } ?? 60
        let seed = option("--seed").flatMap { UInt64($0) } ?? UInt64(time(nil))
        let findings = option("--findings") ?? "."
        let file = "\(findings)/\(target.name)-\(seed).input"
        Blackbox.arm(writing: file)
        let fuzzer = Fuzzer(target, kept: kept)
        let until = time(nil) + seconds
        print("\(target.name): seed \(seed), \(fuzzer.inputs.count) inputs to begin with, \(seconds) seconds")
        var report = fuzzer.replay()
        if report.failure == nil {
            let before = report.executions
            report = fuzzer.run(seed: seed) { $0.executions & 63 != 0 || time(nil) < until }
            report.executions += before
        }
        print("\(target.name): \(report.executions) executions")
        guard let failure = report.failure else { return 0 }
        print("\(target.name): \(failure.breach)")
        print(
            Corpus.write(failure.input, to: file)
                ? "again: martlet-fuzz \(target.name) --replay \(file)" : "martlet-fuzz: \(file) cannot be written")
        return 1
    }
}
