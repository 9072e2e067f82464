"""The ways to the run's folders that take no Ray: on disk, at a URL, and both."""

from __future__ import annotations

import errno
import os
from itertools import count
from pathlib import Path

import pytest

from cluster.stores.at_url import HANDED_IN, INDEX_FILE, FoldersAtUrl
from cluster.stores.cache import FolderCache
from cluster.stores.contents import StoredFile, contents
from cluster.stores.here_and_at_url import FoldersHereAndAtUrl
from protocol.errors import BundleCorrupt, ConfigError, DiskFull, ResourceError
from protocol.folders import FoldersHere
from protocol.ports import FolderStore
from tests.support.folder_store_contract import (
    BUNDLE,
    FolderStoreContract,
    content,
    publish,
    write,
)

GIB = 2**30
NUMBERS = count()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The run's folder."""
    folder = tmp_path / "demo-1"
    folder.mkdir()
    return folder


def at_url(root: Path, url: str, node: str = "node-a") -> FoldersAtUrl:
    return FoldersAtUrl(url, root, FolderCache(root.parent / node, GIB))


class TestFoldersHere(FolderStoreContract, of=FoldersHere):
    """On the run's own node."""

    def opened(self, root: Path) -> FolderStore:
        return FoldersHere()

    def test_nothing_is_copied(self, root: Path) -> None:
        store = FoldersHere()
        publish(store, root / "reward" / "v000001", BUNDLE)
        assert store.fetch(root / "reward" / "v000001") == root / "reward" / "v000001"
        assert [path.name for path in (root / "reward").iterdir()] == ["v000001"]


class TestFoldersOnADiskByUrl(FolderStoreContract, of=FoldersAtUrl):
    """At `file://`."""

    def opened(self, root: Path) -> FolderStore:
        return at_url(root, f"file://{root.parent}/shared")

    def test_nothing_hidden_is_left_beside_what_was_written(self, root: Path) -> None:
        publish(self.opened(root), root / "reward" / "v000001", BUNDLE)
        written = (root.parent / "shared" / "demo-1" / "reward" / "v000001").rglob("*")
        names = sorted(path.name.rpartition("-")[2] for path in written if path.is_file())
        assert names == ["empty.txt", "index.json", "manifest.json", "model.safetensors"]

    @pytest.mark.parametrize("name", ["../../stolen", "/stolen", "manifest.json"])
    def test_what_is_handed_in_under_another_name_is_refused(self, root: Path, name: str) -> None:
        folder, store = root / "reward" / "v000001", self.opened(root)
        write(store, folder, BUNDLE)
        said = root.parent / "shared" / "demo-1" / "reward" / "v000001" / HANDED_IN / "empty.txt"
        said.write_text(said.read_text().replace("empty.txt", name))
        with pytest.raises(BundleCorrupt, match=r"leads out of its folder|is of manifest\.json"):
            store.complete(folder, list(BUNDLE))

    def test_an_index_that_leads_out_of_its_folder_is_refused(self, root: Path) -> None:
        folder, store = root / "reward" / "v000001", self.opened(root)
        publish(store, folder, BUNDLE)
        index = root.parent / "shared" / "demo-1" / "reward" / "v000001" / INDEX_FILE
        index.write_text(index.read_text().replace("empty.txt", "../../stolen"))
        with pytest.raises(BundleCorrupt, match=r"is no index: .*leads out of its folder"):
            store.fetch(folder)


class TestFoldersInMemoryByUrl(FolderStoreContract, of=FoldersAtUrl):
    """At `memory://`, which is this process's own."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        # One memory for all tests of the process.
        folder = tmp_path / f"run-{next(NUMBERS)}"
        folder.mkdir()
        return folder

    def opened(self, root: Path) -> FolderStore:
        return at_url(root, f"memory://{root.name}")


class TestFoldersHereAndAtUrl(FolderStoreContract, of=FoldersHereAndAtUrl):
    """On the run's own node, with a store."""

    def opened(self, root: Path) -> FolderStore:
        return FoldersHereAndAtUrl(at_url(root, f"file://{root.parent}/shared"))

    def test_both_places_have_what_is_published(self, root: Path) -> None:
        folder = root / "policy" / "v000001"
        publish(self.opened(root), folder, BUNDLE)
        elsewhere = at_url(root, f"file://{root.parent}/shared", "node-b")
        assert content(folder) == content(elsewhere.fetch(folder)) == BUNDLE

    def test_what_others_hand_in_at_the_url_is_taken_here(self, root: Path) -> None:
        folder, url = root / "policy" / "v000001", f"file://{root.parent}/shared"
        write(at_url(root, url, "node-b"), folder, {"rank-0001": b"one"})
        store = self.opened(root)
        write(store, folder, {"rank-0000": b"zero"})
        store.complete(folder, ["rank-0000", "rank-0001"])
        assert content(folder) == {"rank-0000": b"zero", "rank-0001": b"one"}

    def test_what_came_from_the_url_as_something_else_is_not_taken(self, root: Path) -> None:
        folder, shared = root / "policy" / "v000001", root.parent / "shared"
        write(at_url(root, f"file://{shared}", "node-b"), folder, {"rank-0001": b"one"})
        (there,) = (shared / "demo-1" / "policy" / "v000001").glob("*-rank-0001")
        there.write_bytes(b"two")
        store = self.opened(root)
        with pytest.raises(BundleCorrupt, match="rank-0001 had"):
            store.complete(folder, ["rank-0001"])
        assert store.versions(root / "policy") == ()

    def test_what_the_url_does_not_let_go_is_still_here_to_be_removed_again(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder, store = root / "reward" / "v000001", self.opened(root)
        publish(store, folder, BUNDLE)

        def refuse(*_: object) -> None:
            raise ResourceError("no answer")

        with monkeypatch.context() as patch:
            patch.setattr(FoldersAtUrl, "remove", refuse)
            with pytest.raises(ResourceError, match="no answer"):
                store.remove(folder)
        assert store.versions(root / "reward") == (folder,)
        store.remove(folder)
        assert store.versions(root / "reward") == ()

    def test_what_else_the_index_names_is_not_taken(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = root / "policy" / "v000001"
        store = FoldersHereAndAtUrl(at_url(root, f"file://{root.parent}/shared"))
        write(store, folder, {"rank-0000": b"zero"})
        index = at_url(root, f"file://{root.parent}/shared").index

        def more(asked: Path) -> tuple[StoredFile, ...]:
            strange = StoredFile(name="strange.py", size=1, sha256="0" * 64)
            return (*(index(asked) or ()), strange)

        monkeypatch.setattr(store._url, "index", more)
        store.complete(folder, ["rank-0000"])
        assert content(folder) == {"rank-0000": b"zero"}

    def test_what_was_given_to_the_run_is_offered_once_and_anew_where_it_changed(
        self, root: Path
    ) -> None:
        given = root.parent / "base"
        given.mkdir()
        store = FoldersHereAndAtUrl(at_url(root, f"file://{root.parent}/shared"))
        elsewhere = at_url(root, f"file://{root.parent}/shared", "node-b")
        for text in ("first", "second one"):
            (given / "config.json").write_text(text)
            store.offer(given, contents(given))
            store.offer(given, contents(given))
            assert content(elsewhere.fetch(given)) == {"config.json": text.encode()}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A path below a file: nothing can be made there."""
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file" / "store"


def test_a_store_that_works_says_nothing_and_is_left_empty(root: Path) -> None:
    at_url(root, f"file://{root.parent}/shared").check(is_new=True)
    assert list((root.parent / "shared").iterdir()) == []


def test_a_run_begins_at_no_url_that_has_another_of_its_name_and_goes_on_at_its_own(
    root: Path,
) -> None:
    store = at_url(root, f"file://{root.parent}/shared")
    publish(store, root / "reward" / "v000001", BUNDLE)
    store.check(is_new=False)
    with pytest.raises(ConfigError, match=r"has folders of a run called demo-1: name another fol"):
        store.check(is_new=True)


def test_a_store_that_cannot_be_written_is_named_with_its_key(root: Path, sealed: Path) -> None:
    with pytest.raises(ResourceError, match=r"cluster\.store file://.*cannot be written .*set cl"):
        at_url(root, f"file://{sealed}").check(is_new=True)


def test_a_connection_that_breaks_once_is_not_noticed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, broken = at_url(root, f"file://{root.parent}/shared"), list[str]()
    upload = store._files._files.put_file

    def put_file(path: str, key: str) -> None:
        if not broken:
            broken.append(key)
            raise ConnectionResetError
        upload(path, key)

    monkeypatch.setattr(store._files, "_sleep", lambda _: None)
    monkeypatch.setattr(store._files._files, "put_file", put_file)
    publish(store, root / "reward" / "v000001", BUNDLE)
    assert len(broken) == 1
    assert content(store.fetch(root / "reward" / "v000001")) == BUNDLE


def test_a_full_disk_of_this_node_is_no_fault_of_the_store(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = at_url(root, f"file://{root.parent}/shared")
    publish(store, root / "reward" / "v000001", BUNDLE)

    def get_file(key: str, path: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store._files._files, "get_file", get_file)
    with pytest.raises(
        DiskFull, match=rf"{root.parent}/node-a/.* has no room for .*cluster\.cache"
    ):
        store.fetch(root / "reward" / "v000001")


@pytest.mark.parametrize("url", ["nowhere://bucket/andon", "s3x://bucket"])
def test_a_place_that_nobody_knows_is_named(root: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=rf"cluster\.store {url}: .*not known"):
        at_url(root, url)
