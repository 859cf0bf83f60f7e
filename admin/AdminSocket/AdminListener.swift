internal import Glibc
internal import Listening
import Logging
public import NIOCore
import ServerCore
import NIOPosix

/// The admin socket of a node: a Unix socket that only its owner may open.
public final class AdminListener: Sendable {
    private let channel: any Channel
    private let path: String

    /// Why the socket could not be opened: one sentence that names it.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    private init(channel: any Channel, path: String) {
        self.channel = channel
        self.path = path
    }

    /// Opens the socket at `path` with mode 0600. What lies there is removed: whoever calls holds the node's lock.
    public static func start(at path: String, on group: any EventLoopGroup, context: AdminContext) async throws -> AdminListener {
        guard path.utf8.count < 104 else {
            throw Failure(description: "the path of the admin socket \(path) is longer than 103 bytes; choose a shorter node.directory")
        }
        unlink(path)
        let commands = Commands(context: context)
        let node = context.core.nodeName
        do {
            let channel = try await ServerBootstrap(group: group)
                .serverChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(ShortagePause()) }
                }
                .serverChannelOption(.backlog, value: 64)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(AdminHandler(commands, node: node))
                    }
                }
                .childChannelOption(.autoRead, value: false)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .bind(unixDomainSocketPath: path).get()
            guard chmod(path, 0o600) == 0 else {
                try await channel.close()
                throw Failure(description: "the admin socket \(path) cannot be made private: \(String(cString: strerror(errno)))")
            }
            return AdminListener(channel: channel, path: path)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(description: "the admin socket \(path) cannot be opened: \(error)")
        }
    }

    /// Closes the socket and removes its name.
    public func stop() async {
        try? await channel.close()
        unlink(path)
    }
}
