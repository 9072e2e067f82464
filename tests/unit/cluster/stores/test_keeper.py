"""The keeper where it is killed in the midst of what it is asked, and asked again."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.stores.contents import stored_file
from cluster.stores.shell import KeeperShell
from protocol.errors import BundleCorrupt
from protocol.folders import FoldersHere


class Killed(Exception):
    """Raised where the keeper would have been killed."""


class KilledOnce(FoldersHere):
    """Folders whose keeper dies as a file is to be flushed, the first time."""

    def __init__(self) -> None:
        self.handed_in = list[str]()
        self.is_killed = False

    def put(self, folder: Path, file: str) -> None:
        if not self.is_killed:
            self.is_killed = True
            raise Killed
        super().put(folder, file)
        self.handed_in.append(file)


def test_a_file_that_has_its_name_is_still_flushed_when_it_is_sealed_again(tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(b"whole")
    sent, folder, home = stored_file(tmp_path, "sent"), tmp_path / "reward" / "v1", KilledOnce()
    keeper = KeeperShell(lambda: home)
    keeper.write(folder, "part", 0, b"whole")
    with pytest.raises(Killed):
        keeper.seal(folder, "part", sent)
    keeper.seal(folder, "part", sent)
    assert home.handed_in == ["sent"]


def test_what_came_torn_gets_no_name(tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(b"whole")
    sent, folder = stored_file(tmp_path, "sent"), tmp_path / "reward" / "v1"
    keeper = KeeperShell(FoldersHere)
    keeper.write(folder, "part", 0, b"torn!")
    with pytest.raises(BundleCorrupt, match="sent had"):
        keeper.seal(folder, "part", sent)
    assert not (FoldersHere().draft(folder) / "sent").exists()
