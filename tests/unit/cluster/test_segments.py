"""A segment is read up to a torn tail, and a byte that was changed is named."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from mcap.reader import make_reader

from cluster.recordings.segment_files import SegmentFile, reseal, seal_left, segment_files
from cluster.recordings.segments import LIVE, SegmentWriter, StoredMessage, read_segment
from protocol.errors import BundleCorrupt, MissingError

CONTENTS = [b'{"step":0}', b'{"step":1,"text":"' + b"lovely " * 30 + b'"}', b'{"step":2}']


def write(path: Path, contents: list[bytes], *, is_sealed: bool) -> Path:
    """Write a segment; return where it lies, as one that nobody sealed if that is wanted."""
    writer = SegmentWriter(path)
    for number, content in enumerate(contents):
        topic = f"learner.step.{'asked' if number % 2 == 0 else 'answered'}"
        writer.add(topic, 1, b"{}", sequence=number, at=100.5 + number, content=content)
    live = path.with_name(path.name + LIVE)
    written = live.read_bytes()
    writer.seal()
    if is_sealed:
        return path
    path.unlink()
    live.write_bytes(written)
    return live


def contents(path: Path) -> list[bytes]:
    return [message.content for message in read_segment(path)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "000001-batches.mcap", CONTENTS, is_sealed=True)
    first, *_ = messages = list(read_segment(path))
    assert [message.content for message in messages] == CONTENTS
    assert first == StoredMessage(
        topic="learner.step.asked",
        version=1,
        schema=b"{}",
        sequence=0,
        at=100.5,
        content=CONTENTS[0],
        place=f"{path}, frame 1 at byte {first.place.rpartition(' ')[2]}",
    )
    assert list(tmp_path.iterdir()) == [path]


def test_a_sealed_segment_is_plain_mcap(tmp_path: Path) -> None:
    path = write(tmp_path / "000001-batches.mcap", CONTENTS, is_sealed=True)
    found = make_reader(io.BytesIO(path.read_bytes()), validate_crcs=True).iter_messages()
    assert [message.data for _, _, message in found] == CONTENTS


@pytest.mark.parametrize("is_sealing", [False, True], ids=["writing", "sealing"])
def test_a_live_segment_torn_at_any_byte_gives_its_whole_messages(
    tmp_path: Path, is_sealing: bool
) -> None:
    whole = write(tmp_path / "000001-batches.mcap", CONTENTS, is_sealed=is_sealing).read_bytes()
    live = tmp_path / f"000002-batches.mcap{LIVE}"
    ends = []
    for size in range(len(whole) + 1):
        live.write_bytes(whole[:size])
        found = contents(live)
        assert found == CONTENTS[: len(found)]
        ends.append(len(found))
    assert ends == sorted(ends)
    assert set(ends) == {0, 1, 2, 3}


def test_a_changed_byte_of_a_sealed_segment_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "000001-batches.mcap", CONTENTS, is_sealed=True)
    whole = path.read_bytes()
    num_data = len(path.read_bytes()) - len(_summary(whole))
    for at in range(num_data):
        hurt = bytearray(whole)
        hurt[at] ^= 0x41
        path.write_bytes(hurt)
        with pytest.raises(BundleCorrupt, match=r"000001-batches\.mcap"):
            pytest.fail(f"byte {at} was changed and nothing said: {contents(path)}")


def _summary(whole: bytes) -> bytes:
    """What follows the data, and is not read: a list of contents for other tools."""
    summary = make_reader(io.BytesIO(whole)).get_summary()
    assert summary is not None
    last = max(index.chunk_start_offset + index.chunk_length for index in summary.chunk_indexes)
    return whole[last + 9 + 4 :]  # the data's end: what it is, its length, its checksum


def test_a_changed_byte_in_the_middle_of_a_live_segment_is_named_or_harmless(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "000001-batches.mcap", CONTENTS, is_sealed=False)
    whole = path.read_bytes()
    named = 0
    for at in range(len(whole)):
        hurt = bytearray(whole)
        hurt[at] ^= 0x41
        path.write_bytes(hurt)
        try:
            found = contents(path)
        except BundleCorrupt:
            named += 1
        else:
            assert found == CONTENTS, f"byte {at} was changed and nothing said"
    assert named > 0.7 * len(whole)  # the rest: times, and the name of who wrote it


def test_a_sealed_segment_that_was_cut_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "000001-batches.mcap", CONTENTS, is_sealed=True)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(BundleCorrupt, match=r"frame 1 at byte .* cut off"):
        contents(path)


def test_a_segment_left_behind_is_sealed_without_its_tail(tmp_path: Path) -> None:
    live = write(tmp_path / "000007-batches.mcap", CONTENTS, is_sealed=False)
    live.write_bytes(live.read_bytes()[:-5])
    (file,) = segment_files(tmp_path)
    assert file == SegmentFile(folder=tmp_path, number=7, stream="batches", is_live=True)
    before = list(read_segment(live))
    reseal(file)
    (file,) = segment_files(tmp_path)
    assert not file.is_live
    after = list(read_segment(file.path))
    assert [(m.topic, m.version, m.schema, m.sequence, m.at, m.content) for m in after] == [
        (m.topic, m.version, m.schema, m.sequence, m.at, m.content) for m in before
    ]
    assert contents(file.path) == CONTENTS[:2]


@pytest.mark.parametrize("num_zeros", [1, 5_000])
def test_zeros_that_the_disk_had_not_filled_are_a_torn_tail(tmp_path: Path, num_zeros: int) -> None:
    live = write(tmp_path / "000007-batches.mcap", CONTENTS, is_sealed=False)
    whole = live.read_bytes()
    for cut in range(0, len(whole), 5):
        live.write_bytes(whole[:cut] + bytes(num_zeros))
        found = contents(live)
        assert found == CONTENTS[: len(found)]
    live.write_bytes(whole + bytes(num_zeros))
    assert contents(live) == CONTENTS
    live.write_bytes(whole + bytes(num_zeros) + b"\1" * 9)
    with pytest.raises(BundleCorrupt, match="frame 4 at byte"):
        contents(live)
    live.write_bytes(bytes(num_zeros))
    assert contents(live) == []


def test_one_that_is_sealed_already_counts_once_and_its_live_file_goes(tmp_path: Path) -> None:
    live = write(tmp_path / "000007-batches.mcap", CONTENTS, is_sealed=False)
    (file,) = segment_files(tmp_path)
    kept = live.read_bytes()
    reseal(file)
    live.write_bytes(kept)  # as where it was killed before it could remove it
    (file,) = segment_files(tmp_path)
    assert not file.is_live
    seal_left(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["000007-batches.mcap"]
    assert contents(file.path) == CONTENTS


def test_a_segment_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        contents(tmp_path / "000001-batches.mcap")
