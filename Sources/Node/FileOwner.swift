import Glibc

/// Root works on the files of a cluster as the user they belong to: whatever root wrote, the server could not use.
enum FileOwner {
    /// Becomes the owner of a directory, for good, when this process is root and the directory somebody else's. One that is not there
    /// changes nothing.
    ///
    /// - Returns: one sentence when that is not possible.
    static func become(ownerOf directory: String) -> String? {
        var status = stat()
        guard geteuid() == 0, stat(directory, &status) == 0, status.st_uid != 0 else { return nil }
        // The groups first: afterwards there is no right to change them.
        guard setgroups(0, nil) == 0, setgid(status.st_gid) == 0, setuid(status.st_uid) == 0 else {
            return "user \(status.st_uid), to whom \(directory) belongs, cannot be taken on: \(String(cString: strerror(errno)))"
        }
        return nil
    }
}
