"""Numbers of names, as a dictionary would have them, without one."""

from __future__ import annotations

import random
import threading
from hashlib import blake2b
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_queue import name_index
from label_queue.name_index import NameIndex, Names


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2**31 - 1)), max_size=200))
def test_it_says_what_a_dictionary_says(said: list[tuple[str, int]]) -> None:
    index, known = NameIndex(), dict[str, int]()
    for name, number in said:
        assert index.get(name) == known.get(name)
        index.set(name, number)
        known[name] = number
    assert {name: index.get(name) for name in known} == known
    assert index.get("somebody else") is None


def test_what_two_digests_make_together_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a bucket digests lie end to end: the end of one and the beginning of the next are none."""
    digests = {"a": b"\0" * 8 + b"x" * 8, "b": b"y" * 8 + b"z" * 8, "ab": b"x" * 8 + b"y" * 8}

    def digest(name: bytes, digest_size: int) -> SimpleNamespace:
        return SimpleNamespace(digest=lambda: digests[name.decode()][:digest_size])

    monkeypatch.setattr(name_index, "blake2b", digest)
    monkeypatch.setattr(name_index, "NUM_BUCKETS", 1)
    index = NameIndex()
    index.set("a", 1)
    index.set("b", 2)
    assert (index.get("a"), index.get("b"), index.get("ab")) == (1, 2, None)
    index.set("ab", 3)
    assert [index.get(name) for name in digests] == [1, 2, 3]


@given(st.lists(st.text(max_size=5), unique=True))
def test_names_are_a_list_that_knows_their_places(texts: list[str]) -> None:
    names = Names()
    assert [names.append(text) for text in texts] == list(range(len(texts)))
    assert list(names) == texts == names[:]
    assert [names.number(text) for text in texts] == list(range(len(texts)))
    assert names[1:-1] == texts[1:-1]
    assert all(text in names for text in texts)
    with pytest.raises(IndexError):
        names[len(texts)]


def test_a_thread_reads_while_another_adds() -> None:
    index, names, done = NameIndex(), Names(), threading.Event()
    wrong: list[str] = []

    def read() -> None:
        rng = random.Random(1)
        while not done.is_set():
            count = len(names)
            if count:
                number = rng.randrange(count)
                if index.get(f"name {number}") != number or names[number] != f"name {number}":
                    wrong.append(f"name {number}")

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20_000):
        index.set(f"name {number}", number)
        names.append(f"name {number}")
    done.set()
    reader.join()
    assert wrong == []


def test_a_name_takes_a_few_bytes_however_long_it_is() -> None:
    index = NameIndex()
    for number in range(20_000):
        index.set(blake2b(str(number).encode()).hexdigest(), number)
    taken = sum(map(len, index._digests)) + sum(4 * len(each) for each in index._numbers)
    assert taken == 20 * 20_000
