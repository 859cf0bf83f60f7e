import Fuzzing
import Glibc

#if GUIDED
    // Built with -sanitize=fuzzer: libFuzzer has `main`, and calls these.

    /// The variable that names the target, since the arguments are libFuzzer's.
    private let guided: FuzzTarget? = getenv("MARTLET_FUZZ_TARGET").flatMap { FuzzTarget.named(String(cString: $0)) }

    @_cdecl("LLVMFuzzerTestOneInput")
    public func tryOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
        guard let guided else {
            print("martlet-fuzz: MARTLET_FUZZ_TARGET names none of \(FuzzTarget.all.map(\.name).joined(separator: ", "))")
            exit(2)
        }
        do throws(Breach) {
            try guided.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
        } catch {
            fatalError("\(guided.name): \(error)")
        }
        return 0
    }
#else
    @main enum Fuzz {
        static func main() { exit(Command(CommandLine.arguments).run()) }
    }
#endif
