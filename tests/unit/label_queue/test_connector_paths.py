"""A tailed file of any name is followed over its rotation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from label_queue.connector_config import JsonlConfig
from label_queue.connectors.jsonl_tail import JsonlConnector
from label_queue.connectors.port import Annotation
from label_queue.connectors.translation import as_assignment
from protocol.errors import InvalidLabel, ResourceError
from tests.support.labels import make_query
from tests.support.odd_names import ODD_NAMES
from tests.support.other_user import open_folder, other_user


def line(number: int) -> str:
    said = {"id": str(number), "labeler": "ann", "query_id": f"q{number}", "outcome": "tie"}
    return json.dumps(said) + "\n"


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
async def test_a_rotated_file_is_read_to_its_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    tail = JsonlConnector(JsonlConfig(kind="jsonl", path=path), run_id="run-1")
    path.write_text(line(0))
    offset = (await tail.sweep(None)).offset
    with path.open("a") as file:
        file.write(line(1))
    path.rename(tmp_path / f"{name}.1")
    path.write_text(line(2))
    (answer,) = (await tail.sweep(offset)).answers
    assert isinstance(answer, Annotation)
    assert answer.query_id == "q1"


async def test_a_folder_that_may_not_be_looked_into_any_more_is_said() -> None:
    with open_folder() as folder:
        (folder / "below").mkdir()
        path = folder / "below" / "answers.jsonl"
        tail = JsonlConnector(JsonlConfig(kind="jsonl", path=path), run_id="run-1")
        path.write_text(line(0))
        offset = (await tail.sweep(None)).offset
        (folder / "below").chmod(0)
        with other_user(), pytest.raises(ResourceError, match=r"answers\.jsonl: cannot be read"):
            await tail.sweep(offset)
        (folder / "below").chmod(0o700)


def test_a_tool_s_user_who_can_be_no_labeler_is_refused() -> None:
    config = JsonlConfig(kind="jsonl", path=Path("x"), labelers={"ann smith": "ann"})
    query = make_query()

    def labeler(user: str) -> str:
        made = as_assignment(config, user, query, assignment_id="a", guideline_version="")
        return made.labeler_id

    assert [labeler("7"), labeler("ann smith")] == ["jsonl:7", "ann"]
    for user in ("bob smith", "ü", "u" * 64):
        with pytest.raises(InvalidLabel, match="can be no labeler"):
            labeler(user)


def test_tasks_are_not_written_to_the_file_that_answers_are_read_from() -> None:
    with pytest.raises(ValidationError, match="want another file than that of the answers"):
        JsonlConfig(kind="jsonl", path=Path("x"), tasks_path=Path("x"))
