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

    /// One sentence when this process, as the user of the cluster, may not read a backup, which for root is a surprise.
    static func refusal(reading backup: String, for directory: String) -> String? {
        let files = [backup, backup + "/manifest.json", backup + "/data.mdb"]
        guard let file = files.first(where: { access($0, R_OK) != 0 && errno == EACCES }) else { return nil }
        let user = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? "\(geteuid())"
        return "\(file) cannot be read by the user \(user), as whom this is done for \(directory): "
            + "put the folder of the backup where that user may read, and make the user its owner (chown -R)"
    }
}
