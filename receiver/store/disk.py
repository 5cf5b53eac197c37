"""What a store's disk is: its file system, what is left on it, and whether a store can be kept there."""

import shutil
from pathlib import Path

from receiver.contract.errors import ConfigError, StoreUnavailable

NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone",
    "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "pvfs2", "smb3", "smbfs",
})  # fmt: skip
"""File systems whose locks and shared memory do not hold between machines, so that SQLite's log loses commits on them."""
_MOUNTS = Path("/proc/self/mountinfo")


def filesystem(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the kind of file system that a file is on, or will be; None where nobody says."""
    place = path.absolute().resolve()
    found: tuple[int, str] | None = None
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        where, kind = _mount(line)
        if place.is_relative_to(where) and (found is None or len(where.parts) >= found[0]):
            found = (len(where.parts), kind)
    return found[1] if found else None


def free(path: Path) -> int:
    """Return how many bytes are left where a file is, or will be; 0 where there is no such place."""
    folder = path.absolute().parent
    return shutil.disk_usage(folder).free if folder.exists() else 0


def check(path: Path, *, least: int, network: bool) -> None:
    """Refuse a place where a store cannot be kept: a network's, unless `network`, or one with less room than `least`.

    Raises ConfigError or StoreUnavailable, with the way out.
    """
    kind = filesystem(path)
    if kind in NETWORK and not network:
        raise ConfigError(
            f"store: {path} is on a network file system ({kind}), where SQLite loses commits: put it on a local disk, "
            "or, where only one machine ever has it open and the server keeps its locks, say [limits] network_disk = true"
        )
    room = free(path)
    if room < least and path.absolute().parent.exists():
        raise StoreUnavailable(
            f"{path}: {room >> 20:,} MiB of disk are free, [limits] free_disk asks for {least >> 20:,} MiB: make room, "
            "move the store, or lower free_disk"
        )


def _mount(line: str) -> tuple[Path, str]:
    """Read where and of what kind a mount is: `36 35 98:0 / /mnt rw,noatime master:1 - ext4 /dev/sda1 rw`."""
    left, _, right = line.partition(" - ")
    where = left.split(" ")[4]
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        where = where.replace(code, char)
    return Path(where), right.split(" ")[0]
