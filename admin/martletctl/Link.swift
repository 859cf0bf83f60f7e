internal import AdminLanguage

/// The way to a node: a connection that is made when it is needed, and to another node when one is gone.
final class Link {
    private let options: Options
    private(set) var connection: Connection?
    /// The socket that answered last, and its node.
    private var lastPath: String?
    private(set) var lastNode: String?

    init(_ options: Options) { self.options = options }

    /// The connection there is, or one that is made now.
    func open() throws(Failure) -> Connection {
        if let connection { return connection }
        let made = try Search.connect(options, first: lastPath)
        connection = made
        lastPath = made.path
        lastNode = made.node
        return made
    }

    /// Goes to the node of this name.
    func move(to node: String) throws(Failure) {
        let path = lastPath ?? options.socket ?? ""
        guard let slash = path.lastIndex(of: "/") else {
            throw Failure(.noConnection, "no node was found yet; connect needs one to begin with")
        }
        let made = try Connection(path[...slash] + "admin-\(node).sock", greetingWithin: Int64(options.timeout) * 1000)
        connection = made
        lastPath = made.path
        lastNode = made.node
    }

    /// Lets the connection go: a reply that is on its way is not wanted any more.
    func drop() { connection = nil }

    /// Cluster and node as the prompt shows them. A cluster has the name of its directory.
    var name: String {
        let node = connection?.node ?? "-"
        guard let directory = lastPath.flatMap(Search.cluster), let name = directory.split(separator: "/").last else { return node }
        return "\(Words.visible(String(name)))/\(node)"
    }
}
