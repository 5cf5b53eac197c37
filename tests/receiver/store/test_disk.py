"""The disk of a store: which file system it is, and where nothing starts."""

import os
import subprocess
from pathlib import Path

import pytest
from running_fakes import REGISTRY, configured

from receiver.contract.errors import ConfigError, StoreUnavailable
from receiver.runtime import running
from receiver.store import disk
from receiver.store.disk import check, filesystem

MOUNTS = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:30 / {folder} rw - tmpfs tmpfs rw
31 30 0:31 / {folder}/over rw shared:7 master:2 - nfs4 server:/calls rw,vers=4.2
32 30 0:32 / {folder}/over rw - fuse.sshfs me@there: rw
33 30 0:33 / {folder}/a\040name rw - 9p share rw
""".strip()


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """Give a table of mounts."""
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS.format(folder=tmp_path))
    return path


@pytest.mark.parametrize(
    ("place", "kind"),
    [("store.db", "tmpfs"), ("over/store.db", "fuse.sshfs"), ("a name/deep/store.db", "9p"), ("overt/s.db", "tmpfs")],
)
def test_the_nearest_mount_counts(tmp_path: Path, mounts: Path, place: str, kind: str) -> None:
    """The deepest, and of two at one place the later one; the store need not be there."""
    assert filesystem(tmp_path / place, mounts) == kind


def test_a_link_is_followed(tmp_path: Path, mounts: Path) -> None:
    """Where the file is counts, not where it is named."""
    (tmp_path / "over").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "over")
    assert filesystem(tmp_path / "link" / "store.db", mounts) == "fuse.sshfs"


def test_nobody_says(tmp_path: Path) -> None:
    """Without a table of mounts nothing is refused."""
    assert filesystem(tmp_path / "store.db", tmp_path / "none") is None


def test_a_real_mount(tmp_path: Path) -> None:
    """The kernel's own table is read."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("mounting a file system needs root")
    place = tmp_path / "a place"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    try:
        assert filesystem(place / "store.db") == "tmpfs"
        with pytest.raises(StoreUnavailable, match="free_disk asks for 2 MiB: make room"):
            check(place / "store.db", least=2 << 20, network=False)
        check(place / "store.db", least=1 << 19, network=False)
    finally:
        subprocess.run(["umount", place], check=True)


async def test_nothing_starts_on_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is named; whoever says network_disk has it."""
    monkeypatch.setattr(disk, "filesystem", lambda _: "nfs4")
    with pytest.raises(ConfigError, match=r"\(nfs4\).*network_disk = true"):
        async with running(configured(tmp_path), REGISTRY):
            pass
    assert [*tmp_path.iterdir()] == []
    async with running(configured(tmp_path, limits={"network_disk": True}), REGISTRY) as run:
        assert run.worker


async def test_nothing_starts_without_room(tmp_path: Path) -> None:
    """Below the watermark a start would only be turned away later."""
    with pytest.raises(StoreUnavailable, match="lower free_disk"):
        async with running(configured(tmp_path, limits={"free_disk": 1 << 60}), REGISTRY):
            pass
    assert [*tmp_path.iterdir()] == []
