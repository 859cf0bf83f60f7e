import Synchronization

/// The logs of the clusters that the running test has or had: what an issue needs beside its own words.
///
/// A test that throws has let go of its cluster, and with it of the files, before the error is an issue; so the ends of the logs are
/// kept until another cluster is made after it. Tests with clusters run one after the other.
public enum ProcessLogs {
    private struct Source {
        var read: @Sendable () -> String
        var tellings = 0
    }

    private struct State {
        var living: [String: Source] = [:]
        var left: [String] = []
    }

    private static let state = Mutex(State())
    /// Issues that the log of one cluster goes with: a loop of expectations must not say it a hundred times.
    private static let mostTellings = 2

    static func began(_ directory: String, read: @escaping @Sendable () -> String) {
        state.withLock { state in
            if state.living.isEmpty { state.left = [] }
            state.living[directory] = Source(read: read)
        }
    }

    /// Called while the files are still there.
    static func ended(_ directory: String) {
        state.withLock { state in
            guard let source = state.living.removeValue(forKey: directory), source.tellings < mostTellings else { return }
            state.left.append(source.read())
        }
    }

    /// The ends of the logs, to be told with an issue; nil when they were told often enough.
    public static func take() -> String? {
        state.withLock { state in
            var logs = state.left
            state.left = []
            for (directory, source) in state.living where source.tellings < mostTellings {
                logs.append(source.read())
                state.living[directory]?.tellings += 1
            }
            return logs.isEmpty ? nil : logs.joined(separator: "\n")
        }
    }
}
