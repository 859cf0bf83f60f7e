import Testing

/// Who conducts SCRAM in a test: the server itself, or libsasl2.
enum Engine {
    @TaskLocal static var isOwn = false
}

/// Runs every test of a suite with either.
struct BothEngines: SuiteTrait, TestTrait, TestScoping {
    let isRecursive = true

    func scopeProvider(for test: Test, testCase: Test.Case?) -> Self? { testCase == nil ? nil : self }

    func provideScope(for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void) async throws {
        for isOwn in [false, true] { try await Engine.$isOwn.withValue(isOwn) { try await function() } }
    }
}

extension Trait where Self == BothEngines {
    static var bothEngines: BothEngines { BothEngines() }
}
