"""A file of JSON lines: what each says under its number, or one line that names what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.errors import InputError, MissingError
from protocol.json_lines import read_json_lines


def lines_of(path: Path, *, is_lenient: bool = False) -> list[tuple[int, Any]]:
    return list(read_json_lines(path, "the file", "name another", is_lenient=is_lenient))


def test_blank_lines_and_byte_order_marks_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n\xef\xbb\xbf[2]\n"\xc3\xa9"')
    assert lines_of(path) == [(1, {"a": 1}), (4, [2]), (5, "é")]


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (b"{", "not JSON (Expecting property name enclosed in double quotes)"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"[" * 100_000, "not JSON ("),
        (b"9" * 5_000, "not JSON ("),
        (b"[NaN]", "not JSON (NaN is not JSON)"),
        (b"-Infinity", "not JSON (-Infinity is not JSON)"),
    ],
)
def test_a_line_that_is_no_json_is_named(tmp_path: Path, second: bytes, says: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"1\n" + second + b"\n")
    with pytest.raises(InputError) as caught:
        lines_of(path)
    assert str(caught.value).startswith(f"{path}, line 2: {says}")
    assert str(caught.value).endswith(": give one JSON object a line")


def test_nan_is_a_number_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"score": NaN}\n')
    [(number, record)] = lines_of(path, is_lenient=True)
    assert number == 1
    assert record["score"] != record["score"]


def test_a_file_that_is_not_there_is_named_with_its_mend(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"^the file: .*x\.jsonl is not a file; name another$"):
        lines_of(tmp_path / "x.jsonl")


def test_a_key_that_is_there_twice_is_named_but_in_data_sets_of_others(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n{"b": {"a": 1, "a": 2}}\n')
    with pytest.raises(InputError, match=r"line 2: a: it is there twice: leave one of them out"):
        lines_of(path)
    assert lines_of(path, is_lenient=True)[1] == (2, {"b": {"a": 2}})
