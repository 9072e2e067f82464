"""A node's copies: whole, made once, in bounds, and never taken from who uses them."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from cluster.stores.cache import FolderCache, own_folder
from cluster.stores.contents import StoredFile, contents, key_of
from protocol.errors import BundleCorrupt, DiskFull, ResourceError

SIZE = 1000


def source(tmp_path: Path, name: str) -> Path:
    """A folder of `SIZE` bytes that is like no other."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(name.encode().ljust(SIZE, b"."))
    return folder


def copying(folder: Path, copied: list[str] | None = None) -> Callable[[StoredFile, Path], None]:
    def copy(stored: StoredFile, path: Path) -> None:
        path.write_bytes((folder / stored.name).read_bytes())
        if copied is not None:
            copied.append(stored.name)

    return copy


def take(cache: FolderCache, folder: Path, used_as: str = "reward") -> Path:
    return cache.take(contents(folder), copying(folder), used_as)


def copies(root: Path) -> set[str]:
    """The keys of what is kept."""
    return {path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."}


def key(folder: Path) -> str:
    return key_of(contents(folder))


def test_what_is_there_is_not_copied_again(tmp_path: Path) -> None:
    folder, copied = source(tmp_path, "a"), list[str]()
    for _ in range(2):
        cache = FolderCache(tmp_path / "cache", 10 * SIZE)
        cache.take(contents(folder), copying(folder, copied), "reward")
    assert copied == ["model.safetensors"]


def test_several_at_once_copy_once(tmp_path: Path) -> None:
    folder, copied = source(tmp_path, "a"), list[str]()
    files, start, found = contents(folder), threading.Barrier(4), list[Path]()

    def ask() -> None:
        cache = FolderCache(tmp_path / "cache", 10 * SIZE)
        start.wait()
        found.append(cache.take(files, copying(folder, copied), "reward"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert copied == ["model.safetensors"]
    assert set(found) == {own_folder(tmp_path / "cache") / key_of(files)}


def test_a_copy_that_is_not_what_was_written_is_no_copy(tmp_path: Path) -> None:
    folder, cache = source(tmp_path, "a"), FolderCache(tmp_path / "cache", 10 * SIZE)
    with pytest.raises(BundleCorrupt, match=r"model\.safetensors had"):
        cache.take(contents(folder), lambda _, path: path.touch(), "reward")
    assert copies(own_folder(tmp_path / "cache")) == set()
    assert (take(cache, folder) / "model.safetensors").stat().st_size == SIZE


def test_beyond_the_limit_the_least_recently_used_goes(tmp_path: Path) -> None:
    folders = [source(tmp_path, name) for name in "abc"]
    cache, root = FolderCache(tmp_path / "cache", 2 * SIZE), own_folder(tmp_path / "cache")
    for second, folder in enumerate(folders[:2]):
        take(cache, folder)
        os.utime(root / f".use-{key(folder)}", (second, second))
    take(cache, folders[0])
    take(cache, folders[2])
    assert copies(root) == {key(folders[0]), key(folders[2])}


def test_what_a_process_uses_stays_whatever_the_limit(tmp_path: Path) -> None:
    base, old, new = (source(tmp_path, name) for name in "abc")
    cache, root = FolderCache(tmp_path / "cache", 0), own_folder(tmp_path / "cache")
    take(cache, base, "policy")
    take(cache, old)
    assert copies(root) == {key(base), key(old)}
    # A newer reward takes the older one's place, and nobody uses that any more.
    take(cache, new)
    assert copies(root) == {key(base), key(new)}


def _use_until(place: Path, folder: Path, used: Event, over: Event) -> None:
    cache = FolderCache(place, 0)
    take(cache, folder)
    cache.scratch()
    used.set()
    over.wait()


def test_what_a_dead_process_used_and_drafted_goes_with_the_next_copy(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    used, over, place = context.Event(), context.Event(), tmp_path / "cache"
    root = own_folder(place)
    theirs, ours, last = (source(tmp_path, name) for name in "abc")
    other = context.Process(target=_use_until, args=(place, theirs, used, over))
    other.start()
    assert used.wait(120)
    cache = FolderCache(place, 0)
    take(cache, ours)
    assert copies(root) == {key(theirs), key(ours)}
    assert len(list(root.glob(".scratch-*"))) == 1
    other.kill()
    other.join()
    (root / f".draft-{key(ours)}").mkdir()
    take(cache, last)
    assert copies(root) == {key(last)}
    assert list(root.glob(".scratch-*")) == list(root.glob(".draft-*")) == []


def test_a_cache_that_cannot_be_made_is_named_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot be written .*set cluster\.cache to a folder"):
        FolderCache(tmp_path / "file" / "cache", SIZE)


def test_a_cache_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(ResourceError, match=r"belongs to another user .*set cluster\.cache"):
        FolderCache(tmp_path / "cache", SIZE)


def test_what_else_lies_in_the_place_that_a_user_names_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "scratch"
    theirs = (place / "results", own_folder(place) / "results", own_folder(place) / ".draft-a")
    cache = FolderCache(place, 0)
    for folder in theirs:
        folder.mkdir()
        (folder / "table.csv").write_bytes(b"x" * SIZE)
    take(cache, source(tmp_path, "a"))
    take(cache, source(tmp_path, "b"))
    assert all((folder / "table.csv").is_file() for folder in theirs)


def test_a_link_in_the_place_of_the_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    own_folder(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResourceError, match=r"is a link: set cluster\.cache"):
        FolderCache(tmp_path, SIZE)


def test_a_copy_that_vanishes_under_who_counts_is_counted_as_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, root = FolderCache(tmp_path / "cache", 10 * SIZE), own_folder(tmp_path / "cache")
    gone = take(cache, source(tmp_path, "a")) / "model.safetensors"
    listed = Path.rglob

    def rglob(folder: Path, pattern: str) -> list[Path]:
        found = list(listed(folder, pattern))
        if folder == gone.parent:
            shutil.rmtree(folder)
        return found

    monkeypatch.setattr(Path, "rglob", rglob)
    kept = take(cache, source(tmp_path, "b"))
    assert copies(root) == {kept.name}


def test_one_process_at_a_time_shrinks_and_no_other_waits(tmp_path: Path) -> None:
    cache, root = FolderCache(tmp_path / "cache", 0), own_folder(tmp_path / "cache")
    old, new, last = (source(tmp_path, name) for name in "abc")
    take(cache, old)
    with (root / ".shrinking").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        take(cache, new)
        assert copies(root) == {key(old), key(new)}
    take(cache, last)
    assert copies(root) == {key(last)}


def test_a_copy_that_lacks_a_file_or_a_part_of_one_is_made_anew(tmp_path: Path) -> None:
    cache, folder = FolderCache(tmp_path / "cache", SIZE), source(tmp_path, "a")
    model = take(cache, folder) / "model.safetensors"
    whole = model.read_bytes()
    model.unlink()
    take(cache, folder)
    assert model.read_bytes() == whole
    model.write_bytes(whole[:-1])
    take(cache, folder)
    assert model.read_bytes() == whole


def test_what_is_half_removed_has_left_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, root = FolderCache(tmp_path / "cache", 0), own_folder(tmp_path / "cache")
    old, new = source(tmp_path, "a"), source(tmp_path, "b")
    take(cache, old)
    with monkeypatch.context() as patch:  # as if killed before the first of its files went
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        take(cache, new)
    assert copies(root) == {key(new)}
    take(cache, old)
    assert copies(root) == {key(old)}
    assert list(root.glob(".gone-*")) == []


def on_a_disk_of(
    copies_at_most: int, root: Path, folder: Path
) -> Callable[[StoredFile, Path], None]:
    """Copy as long as the disk has room."""

    def copy(stored: StoredFile, path: Path) -> None:
        path.write_bytes(b"half")
        if len(copies(root)) >= copies_at_most:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copying(folder)(stored, path)

    return copy


def test_what_nobody_uses_makes_room_where_the_disk_has_none(tmp_path: Path) -> None:
    cache, root = FolderCache(tmp_path / "cache", 10 * SIZE), own_folder(tmp_path / "cache")
    base, old, new = (source(tmp_path, name) for name in "abc")
    take(cache, base, "policy")
    take(cache, old)
    cache.take(contents(new), on_a_disk_of(2, root, new), "reward")
    assert copies(root) == {key(base), key(new)}


def test_a_disk_full_of_what_is_used_is_named_and_left_without_a_draft(tmp_path: Path) -> None:
    cache, root = FolderCache(tmp_path / "cache", 10 * SIZE), own_folder(tmp_path / "cache")
    base, new = source(tmp_path, "a"), source(tmp_path, "b")
    take(cache, base, "policy")
    with pytest.raises(DiskFull, match=rf"{root} has no room .*or set cluster\.cache"):
        cache.take(contents(new), on_a_disk_of(1, root, new), "reward")
    assert copies(root) == {key(base)}
    assert list(root.glob(".draft-*")) == []
