"""What every way to the run's folders promises."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import pytest

from protocol.errors import MissingError
from protocol.ports import FolderStore
from tests.support.contract import Contract


def write(store: FolderStore, folder: Path, files: dict[str, bytes]) -> None:
    """Draft files, and hand them in."""
    draft = store.draft(folder)
    for name, content in files.items():
        (draft / name).parent.mkdir(exist_ok=True)
        (draft / name).write_bytes(content)
        store.put(folder, name)


def publish(store: FolderStore, folder: Path, files: dict[str, bytes]) -> None:
    """Write a folder whole."""
    write(store, folder, files)
    store.complete(folder, list(files))


def content(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


BUNDLE = {"manifest.json": b"{}", "model.safetensors": bytes(range(256)) * 8, "empty.txt": b""}


class FolderStoreContract(Contract):
    """Subclasses give a `root`, the run's folder, and stores of processes on one or two nodes."""

    @abstractmethod
    def opened(self, root: Path) -> FolderStore:
        """Return the folders as another process has them."""

    @pytest.fixture
    def store(self, root: Path) -> FolderStore:
        return self.opened(root)

    def test_what_one_process_publishes_another_reads(self, store: FolderStore, root: Path) -> None:
        folder = root / "reward" / "v000001"
        publish(store, folder, BUNDLE)
        other = self.opened(root)
        assert other.versions(root / "reward") == (folder,)
        assert content(other.fetch(folder)) == BUNDLE
        assert content(other.fetch(folder)) == BUNDLE

    def test_one_file_can_be_had_without_the_others(self, store: FolderStore, root: Path) -> None:
        folder = root / "policy" / "v000001"
        publish(store, folder, {"rank-0000": b"0", "rank-0001": b"1", "manifest.json": b"{}"})
        found = store.fetch(folder, ["rank-0001", "*.json"])
        assert (found / "rank-0001").read_bytes() == b"1"
        assert (found / "manifest.json").read_bytes() == b"{}"

    def test_files_in_folders_of_a_folder_come_along(self, store: FolderStore, root: Path) -> None:
        files = {"config.json": b"{}", "templates/tool.jinja": b"x"}
        publish(store, root / "policy" / "final", files)
        assert content(store.fetch(root / "policy" / "final")) == files

    def test_several_processes_write_one_folder(self, store: FolderStore, root: Path) -> None:
        folder = root / "policy" / "v000040"
        write(self.opened(root), folder, {"rank-0001": b"one"})
        write(store, folder, {"rank-0000": b"zero", "manifest.json": b"{}"})
        assert store.versions(folder.parent) == ()
        store.complete(folder, ["rank-0000", "rank-0001", "manifest.json"])
        assert content(self.opened(root).fetch(folder)) == {
            "rank-0000": b"zero",
            "rank-0001": b"one",
            "manifest.json": b"{}",
        }

    def test_half_a_folder_is_none(self, store: FolderStore, root: Path) -> None:
        folder = root / "reward" / "v000002"
        write(store, folder, {"model.safetensors": b"half"})
        assert self.opened(root).versions(root / "reward") == ()
        with pytest.raises(MissingError, match="v000002 is not there"):
            self.opened(root).fetch(folder)
        with pytest.raises(MissingError, match=r"lacks manifest\.json, which was never handed in"):
            store.complete(folder, ["model.safetensors", "manifest.json"])
        assert self.opened(root).versions(root / "reward") == ()

    def test_what_a_dead_writer_left_is_in_no_folder_that_comes_after(
        self, store: FolderStore, root: Path
    ) -> None:
        folder = root / "reward" / "v000003"
        write(self.opened(root), folder, {"left.txt": b"behind", "manifest.json": b"old"})
        publish(store, folder, BUNDLE)
        assert content(self.opened(root).fetch(folder)) == BUNDLE

    def test_versions_are_in_their_order_and_nothing_else_is_one(
        self, store: FolderStore, root: Path
    ) -> None:
        for name in ("v000010", "v000009", "v1000000", "final"):
            publish(store, root / "policy" / name, {"manifest.json": name.encode()})
        names = [folder.name for folder in store.versions(root / "policy")]
        assert names == ["v000009", "v000010", "v1000000"]

    def test_no_version_is_below_a_folder_that_is_not_there(
        self, store: FolderStore, root: Path
    ) -> None:
        assert store.versions(root / "nowhere") == ()

    def test_a_folder_can_be_replaced_and_asked_for_anew(
        self, store: FolderStore, root: Path
    ) -> None:
        final = root / "policy" / "final"
        publish(store, final, {"model.safetensors": b"old", "extra.json": b"{}"})
        assert content(store.fetch(final)) == {"model.safetensors": b"old", "extra.json": b"{}"}
        publish(store, final, {"model.safetensors": b"newer"})
        assert content(store.fetch(final)) == {"model.safetensors": b"newer"}

    def test_completing_twice_changes_nothing(self, store: FolderStore, root: Path) -> None:
        folder = root / "reward" / "v000001"
        publish(store, folder, BUNDLE)
        store.complete(folder, list(BUNDLE))
        assert content(store.fetch(folder)) == BUNDLE

    def test_a_file_of_a_whole_folder_is_amended(self, store: FolderStore, root: Path) -> None:
        folder = root / "policy" / "v000001"
        publish(store, folder, {"manifest.json": b"{}", "rank-0000": b"0"})
        store.amend(folder, "manifest.json", b'{"is_cut": true}')
        store.amend(folder, "new.json", b"1")
        assert content(self.opened(root).fetch(folder)) == {
            "manifest.json": b'{"is_cut": true}',
            "new.json": b"1",
            "rank-0000": b"0",
        }

    def test_what_is_removed_is_gone_and_may_be_removed_again(
        self, store: FolderStore, root: Path
    ) -> None:
        folders = [root / "reward" / f"v00000{number}" for number in (1, 2)]
        for folder in folders:
            publish(store, folder, BUNDLE)
        store.remove(folders[0])
        store.remove(folders[0])
        assert self.opened(root).versions(root / "reward") == (folders[1],)
        with pytest.raises(MissingError):
            store.fetch(folders[0])

    def test_what_is_discarded_is_not_handed_in(self, store: FolderStore, root: Path) -> None:
        folder = root / "policy" / "final"
        (store.draft(folder) / "model.safetensors").write_bytes(b"half")
        store.discard(folder)
        store.discard(folder)
        assert list(store.draft(folder).iterdir()) == []
