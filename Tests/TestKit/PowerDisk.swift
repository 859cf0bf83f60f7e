import Glibc

/// A disk whose power can be cut, with a volatile cache: an ext4 file system in a file, on an ext4 file system in a file.
///
/// The cluster's directory is on the inner file system. What the inner file system writes to its device comes into the page cache of
/// the outer one: that is the disk's own cache, which a flush (fsync, FUA) empties and nothing else must be expected to. A cut shuts the
/// outer file system down (`EXT4_IOC_SHUTDOWN` without a flush of its log) at one instant, wherever writes and flushes are just then:
/// from there on every write fails, and what was in the cache is gone, as is what was dirty in the inner file system. `stir` lets the
/// cache write some of what it holds before its time, so that blocks reach the disk in an order nobody asked for, torn at 4 KiB. Then
/// both file systems are mounted again, and their journals replayed.
///
/// Reading the file of the outer disk while it is written would be harder than any disk: blocks read early would be older than a flush
/// that blocks read late have seen. So nothing is copied while it changes, and the image that stands after a cut is the one that is
/// mounted again.
///
/// The mounts are in a namespace of their own, which a process of this object holds: when the last process in it ends, mounts, loop
/// devices and images are gone, however the test ended.
public final class PowerDisk {
    private static let programs = ["/usr/bin/unshare", "/usr/bin/nsenter", "/bin/mount", "/bin/umount", "/sbin/mkfs.ext4"]
    private let group: ProcessGroup
    private let holder: pid_t
    /// The folder with the mounts, as processes in the namespace see it.
    private var folder: String { group.directory }

    /// Why there can be no such disk here, once tried; nil: there can.
    public static let obstacle: String? = {
        guard geteuid() == 0 else { return "only root may mount a file system" }
        for program in programs where access(program, X_OK) != 0 { return "there is no \(program)" }
        do { _ = try PowerDisk(mebibytes: 8) } catch { return "\(error)" }
        return nil
    }()

    /// Whether there can be such a disk here; where not, it says why.
    public static func isPermitted() -> Bool {
        if let obstacle { print("no disk whose power can be cut: \(obstacle)") }
        return obstacle == nil
    }

    /// - Parameter mebibytes: Size of the inner file system, some of which it needs itself. All of it is in memory.
    public init(mebibytes: Int) throws {
        group = try ProcessGroup()
        let disk = group.directory
        let script = """
            set -e
            cd "$1"
            mkdir memory cache data
            mount -t tmpfs -o size=\(mebibytes * 2 + 64)m,mode=0700 tmpfs memory
            truncate -s \(mebibytes + mebibytes / 4 + 24)M memory/disk
            mkfs.ext4 -q -F -m 0 -E nodiscard,lazy_itable_init=0 memory/disk
            mount -o loop memory/disk cache
            dd if=/dev/zero of=cache/disk bs=1M count=\(mebibytes) status=none
            mkfs.ext4 -q -F -m 0 -E nodiscard,lazy_itable_init=0 cache/disk
            sync -f cache/disk
            mount -o loop cache/disk data
            sync -f data
            echo mounted
            exec sleep infinity
            """
        let log = disk + "/disk.log"
        holder = try group.start(
            ["/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", disk], log: log)
        let deadline = Deadline(in: .patient)
        while ProcessCluster.text(of: log) != "mounted\n" {
            if let ending = group.ended(holder) { throw ProcessFailure("no disk (\(ending)): \(ProcessCluster.text(of: log))") }
            guard !deadline.isOver else { throw ProcessFailure("no disk in time: \(ProcessCluster.text(of: log))") }
            poll(nil, 0, 2)
        }
    }

    /// The file system for the cluster's directory, as processes in the namespace see it.
    public var path: String { folder + "/data" }

    /// The same, as everybody else sees it.
    public var seen: String { outside(path) }

    private func outside(_ path: String) -> String { "/proc/\(holder)/root\(path)" }

    /// What starts a program in the namespace; the program follows.
    var entrance: [String] { ["/usr/bin/nsenter", "--mount=/proc/\(holder)/ns/mnt", "--"] }

    /// The cache writes so much of what it holds, from a place.
    ///
    /// - Parameters:
    ///   - offset: In bytes from the beginning of the disk.
    ///   - count: Of bytes.
    public func stir(at offset: Int64, count: Int64) {
        let file = open(outside(folder + "/cache/disk"), O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        defer { close(file) }
        // What nobody needs in the cache is written, which nothing waits for.
        posix_fadvise(file, off_t(offset), off_t(count), POSIX_FADV_DONTNEED)
    }

    /// Cuts the power. From here on everything fails that would reach the disk.
    public func cut() throws {
        let file = open(outside(folder + "/cache"), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard file >= 0 else { throw ProcessFailure.system("the disk") }
        defer { close(file) }
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
        var how: UInt32 = 2
        guard ioctl(file, 0x8004_587D, &how) == 0 else { throw ProcessFailure.system("cutting the power") }
    }

    /// The power comes back: no process may be on the disk any more.
    public func restore() throws {
        // A loop device is let go a moment after its file system.
        let script = """
            cd "$1" || exit
            umount data || exit
            for attempt in $(seq 200); do umount cache && break; sleep 0.05; done
            mount -o loop memory/disk cache && mount -o loop cache/disk data
            """
        let log = folder + "/restore.log"
        let pid = try group.start(entrance + ["/bin/sh", "-c", script, "sh", folder], log: log)
        let deadline = Deadline(in: .patient)
        while !deadline.isOver {
            if let status = group.ended(pid) {
                guard status == 0 else { throw ProcessFailure("the disk does not come back: \(ProcessCluster.text(of: log))") }
                return
            }
            poll(nil, 0, 2)
        }
        throw ProcessFailure("the disk does not come back in time: \(ProcessCluster.text(of: log))")
    }

    /// Takes all the room that is left, but for so much.
    public func fill(leaving kibibytes: Int) throws {
        let file = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw ProcessFailure.system(filler) }
        defer { close(file) }
        var figures = statvfs()
        guard fstatvfs(file, &figures) == 0 else { throw ProcessFailure.system(filler) }
        let free = Int(figures.f_bavail) * Int(figures.f_frsize) - kibibytes * 1024
        guard free > 0, posix_fallocate(file, 0, free) == 0 else { throw ProcessFailure("the disk cannot be filled") }
    }

    /// Gives the room back.
    public func free() throws {
        guard unlink(filler) == 0 else { throw ProcessFailure.system(filler) }
    }

    private var filler: String { seen + "/filler" }
}
