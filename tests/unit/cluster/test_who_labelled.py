"""Whoever labelled is called what they are: simulated labelers are no people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from cluster.config_file import save_config
from cluster.recordings.records import Span
from cluster.recordings.streams import LEARNER, Recordings
from cluster.report.picture_time import draw_time, time_lanes
from cluster.report.records import read_run
from cluster.report.summary import summarize
from cluster.report.write import pictures_of, write_report
from cluster.run_folder import RunFolder
from cluster.watching.closing_words import closing_words
from label_queue.ledger.sql import SqlLedger
from tests.support.labels import make_appointment
from tests.support.synthetic_run import make_assignment, make_label, make_query, synthetic_config

PEOPLE = re.compile(r"\bpeople\b", re.IGNORECASE)
SIMULATED = "simulated labelers"
BOTH = "people and simulated labelers"
OF_SIMULATED = ("sim-1", "sim-2")


def folder_of(path: Path, names: Sequence[str], *, judge: str | None = None) -> RunFolder:
    """A run that waited for labels, and in which these answered a query each."""
    folder = RunFolder.create(path)
    folder.update_state(run_id="run", state="finished", started_at=0.0)
    config = {
        "labelers": [{"name": name} for name in OF_SIMULATED],
        "people": ["ann", "bob", "dot"],
        "judges": [] if judge is None else [judge],
    }
    save_config(synthetic_config(config), folder.config)
    ledger = SqlLedger.open(folder.ledger, "run")
    if judge is not None:
        ledger.write([make_appointment(judge)])
    for name in names:
        query = make_query(f"of-{name}", versions=(1, 1, 0, 0), purpose="validation")
        ledger.write([query, make_assignment(query, name, 1.0), make_label(query, name, 0, 2.0)])
    ledger.close()
    recordings = Recordings(folder.recordings)
    recordings.write(LEARNER, Span(doing="step", started_at=0.0, ended_at=10.0))
    recordings.write(LEARNER, Span(doing="labels", started_at=10.0, ended_at=20.0))
    recordings.close()
    return folder


def captions_of(folder: RunFolder) -> dict[str, str]:
    return {name: caption for name, _, caption in pictures_of(read_run(folder.path))}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words that are drawn beside a line."""
    words: list[str] = []
    plot: Any = Axes.plot

    def note(axes: Axes, *values: object, **how: object) -> object:
        words.append(str(how.get("label", "")))
        return plot(axes, *values, **how)

    monkeypatch.setattr(Axes, "plot", note)
    return words


@pytest.mark.parametrize(
    ("names", "who"),
    [(OF_SIMULATED, SIMULATED), (("ann", "bob"), "people"), (("sim-1", "ann"), BOTH)],
)
def test_pictures_page_and_closing_words_say_who_labelled(
    tmp_path: Path, drawn: list[str], names: Sequence[str], who: str
) -> None:
    folder = folder_of(tmp_path / "run", names)
    run = read_run(folder.path)
    assert summarize(run)["labelled_by"] == who
    [learner] = [lane for lane in time_lanes(run) if lane.name == "learner"]
    assert learner.note == f"waits for: 50% {who}"
    draw_time(run, tmp_path / "time.png")
    assert f"waits for {who}" in drawn
    captions = captions_of(folder)
    assert f"Labels are given all the while, by {who}." in captions["time"]
    page = write_report(folder.path)
    said = [*captions.values(), page.read_text(encoding="utf-8"), closing_words(folder, page)]
    assert f"; by {who}" in said[-1]
    assert any(PEOPLE.search(words) for words in said) is (who != SIMULATED)


@pytest.mark.parametrize(("judge", "who"), [("sim-2", SIMULATED), ("dot", BOTH)])
def test_the_picture_of_judges_says_who_preferred_the_policy(
    tmp_path: Path, judge: str, who: str
) -> None:
    folder = folder_of(tmp_path / "run", ("sim-1", judge), judge=judge)
    assert f"by how often {who} preferred them" in captions_of(folder)["judges"]


def test_before_the_first_label_nobody_is_called_people(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "run", ())
    run = read_run(folder.path)
    assert run.labelled_by is None
    [learner] = time_lanes(run)
    assert learner.note == "waits for: 50% labelers"
    assert not any(PEOPLE.search(caption) for caption in captions_of(folder).values())
