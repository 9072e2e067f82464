"""The run's folders on other nodes, with a real keeper: through Ray, and by a URL."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import ray

from cluster.stores.at_url import FoldersAtUrl
from cluster.stores.away import FoldersAway
from cluster.stores.away_by_url import FoldersAwayByUrl
from cluster.stores.cache import FolderCache, own_folder
from cluster.stores.shell import KEEPER_OPTIONS, PIECE_BYTES, KeeperShell
from cluster.stores.whereabouts import Whereabouts
from protocol.errors import ActorDied, MissingError
from protocol.ports import FolderStore
from protocol.remote import Remote, raised_as_itself, spawn
from tests.support.folder_store_contract import (
    BUNDLE,
    FolderStoreContract,
    content,
    publish,
    write,
)

GIB = 2**30
NUMBERS = count()


def keeper_of(root: Path, store: str = "object_store") -> Remote[KeeperShell]:
    """Start a keeper as a run does, under a name of its own."""
    whereabouts = Whereabouts(run=root, store=store, cache=str(root.parent / "home"))
    options = {**KEEPER_OPTIONS, "name": f"keeper-{next(NUMBERS)}"}
    return spawn(KeeperShell, "the folder keeper", options)(whereabouts.at_home)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The run's folder."""
    folder = tmp_path / "demo-1"
    folder.mkdir()
    return folder


@pytest.fixture
def keeper(ray_session: None, root: Path) -> Iterator[Remote[KeeperShell]]:
    keeper = keeper_of(root)
    yield keeper
    ray.kill(keeper.handle)


def away(keeper: Remote[KeeperShell], root: Path) -> FoldersAway:
    """Return the folders as a process of another node has them: with a cache of its own."""
    return FoldersAway(keeper, FolderCache(root.parent / "away", GIB))


class TestFoldersAway(FolderStoreContract, of=FoldersAway):
    """Through Ray's object store."""

    @pytest.fixture(autouse=True)
    def _kept(self, keeper: Remote[KeeperShell]) -> None:
        self.keeper = keeper

    def opened(self, root: Path) -> FolderStore:
        return away(self.keeper, root)

    def test_a_file_of_many_pieces_goes_there_and_back(self, root: Path) -> None:
        folder, large = root / "policy" / "v000001", os.urandom(3 * PIECE_BYTES + 17)
        publish(self.opened(root), folder, {"rank-0000": large})
        assert content(folder) == {"rank-0000": large}
        assert content(self.opened(root).fetch(folder)) == {"rank-0000": large}

    def test_a_copy_is_made_once_a_node(self, root: Path) -> None:
        folder = root / "reward" / "v000001"
        publish(self.opened(root), folder, BUNDLE)
        first = self.opened(root).fetch(folder)
        assert self.opened(root).fetch(folder) == first
        assert first.parent == own_folder(root.parent / "away")

    def test_a_keeper_that_is_killed_is_started_again_under_what_is_on_its_way(
        self, root: Path
    ) -> None:
        store, folder = self.opened(root), root / "policy" / "v000001"
        write(store, folder, {"rank-0000": b"zero"})
        ray.kill(self.keeper.handle, no_restart=False)
        write(store, folder, {"manifest.json": b"{}"})
        store.complete(folder, ["rank-0000", "manifest.json"])
        assert content(folder) == {"rank-0000": b"zero", "manifest.json": b"{}"}


class TestFoldersAwayByUrl(FolderStoreContract, of=FoldersAwayByUrl):
    """By `file://`."""

    @pytest.fixture(autouse=True)
    def _kept(self, ray_session: None, root: Path) -> Iterator[None]:
        self.url = f"file://{root.parent}/shared"
        self.keeper = keeper_of(root, self.url)
        yield
        ray.kill(self.keeper.handle)

    def opened(self, root: Path) -> FolderStore:
        cache = FolderCache(root.parent / "away", GIB)
        return FoldersAwayByUrl(self.keeper, cache, FoldersAtUrl(self.url, root, cache))

    def test_what_is_published_is_in_the_runs_folder_and_at_the_url(self, root: Path) -> None:
        folder = root / "policy" / "v000001"
        publish(self.opened(root), folder, BUNDLE)
        cache = FolderCache(root.parent / "third", GIB)
        at_url = FoldersAtUrl(self.url, root, cache)
        assert content(folder) == content(at_url.fetch(folder)) == BUNDLE

    def test_a_models_folder_that_was_given_gets_there_by_the_url(self, root: Path) -> None:
        given = root.parent / "base"
        given.mkdir()
        (given / "config.json").write_bytes(b"{}")
        assert content(self.opened(root).fetch(given)) == {"config.json": b"{}"}
        offered = (root.parent / "shared" / "given").rglob("*config.json")
        assert len(list(offered)) == 1


class Writer:
    """A process on another node that hands in the half of a folder and is killed at the rest."""

    def __init__(self, keeper: Remote[KeeperShell], cache: Path) -> None:
        self._store = FoldersAway(keeper, FolderCache(cache, GIB))

    def die_within(self, folder: Path, large: bytes) -> None:
        write(self._store, folder, {"manifest.json": b"{}"})
        (self._store.draft(folder) / "model.safetensors").write_bytes(large)
        sent = self._store._keeper.send(
            KeeperShell.write, folder, "half", 0, large[: len(large) // 2]
        )
        ray.get(sent)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_writer_leaves_no_half_folder_and_another_can_write_it(
    keeper: Remote[KeeperShell], root: Path
) -> None:
    folder, cache = root / "reward" / "v000001", root.parent / "away"
    writer = spawn(Writer, "the writer", {"num_cpus": 0})(keeper, cache)
    with pytest.raises(ActorDied), raised_as_itself(writer.who):
        ray.get(writer.send(Writer.die_within, folder, os.urandom(4096)))
    store = away(keeper, root)
    assert store.versions(root / "reward") == ()
    with pytest.raises(MissingError):
        store.fetch(folder)
    publish(store, folder, BUNDLE)
    assert content(folder) == BUNDLE
    # What it had drafted on its node went with the first copy that was made after it.
    assert content(store.fetch(folder)) == BUNDLE
    left = list(cache.glob("andon-folders-*/.scratch-*"))
    assert len(left) == 1
