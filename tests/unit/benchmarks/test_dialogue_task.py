"""The task's measures worked out by hand, its config, its figure, and what it makes once."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.prompts.dialogues import (
    LAST_WORDS,
    MAX_ANSWER_TOKENS,
    MAX_PROMPT_TOKENS,
    Dialogue,
    confirmation,
)
from cluster.config_file import load_config
from examples.tasks import judging, whole_run
from examples.tasks.dialogue import __main__ as task
from examples.tasks.dialogue.__main__ import (
    COLUMNS,
    CONFIG,
    case_of,
    fresh_dialogues,
    name_of,
    of_last_turn,
)
from examples.tasks.dialogue.figure import draw
from examples.tasks.dialogue.measures import Measures
from examples.tasks.drawing import Response
from examples.tasks.measures import table
from label_queue.simulated.config import LabelerProfile
from learners.text_config import BaseModelConfig
from protocol.messages import ChatMessage
from tests.support.present import present

DIALOGUE = Dialogue(
    turns=(
        ChatMessage(role="user", content="a table for four ."),
        ChatMessage(role="assistant", content="when ?"),
        ChatMessage(role="user", content="on friday ."),
        ChatMessage(role="assistant", content="where ?"),
        ChatMessage(role="user", content="in rome . rather on sunday . thanks ."),
    ),
    booking={"guests": "four", "day": "sunday", "place": "rome"},
    outdated={"day": "friday"},
    reference="a table on friday in rome .",
)
BEST = "a table for four on sunday in rome ."
CAREFUL = LabelerProfile(beta=2.0)


def measured(*texts: str, is_complete: bool = True) -> Measures:
    answers = [Response(text=text, is_complete=is_complete) for text in texts]
    return Measures.of([DIALOGUE] * len(texts), answers, [CAREFUL])


def test_measures_of_an_answer_that_is_right_worked_out_by_hand() -> None:
    found = measured(BEST)
    assert (found.gold, found.win_gold) == pytest.approx((3 - 0.9, 1.0))
    assert (found.right, found.outdated, found.whole) == (1.0, 0.0, 1.0)
    assert (found.words, found.finished) == (9, 1.0)


def test_measures_of_an_answer_that_tells_what_was_changed_since() -> None:
    found = measured(DIALOGUE.reference, is_complete=False)
    assert (found.gold, found.win_gold) == pytest.approx((1 - 1 - 0.7, 0.5))
    assert found.right == pytest.approx(1 / 3)
    assert (found.outdated, found.whole) == (1.0, 0.0)
    assert found.finished == 0.0


def test_whole_is_what_says_nothing_else_of_the_booking() -> None:
    found = measured(f"{BEST} on friday .", BEST, "with pleasure .")
    assert found.whole == pytest.approx(1 / 3)
    assert found.right == pytest.approx(2 / 3)
    assert found.outdated == pytest.approx(1 / 3)


def test_who_heard_the_last_turn_alone_says_what_was_said_in_it() -> None:
    assert of_last_turn(DIALOGUE) == "a table on sunday in rome ."
    assert of_last_turn(fresh_dialogues(1)[0]).startswith("a table ")


def test_the_table_has_a_row_for_each_system() -> None:
    head, rule, *rows = table(COLUMNS, {"best": [measured(BEST)]}, "answers").splitlines()
    assert head.count("|") == rule.count("|") == rows[0].count("|")
    assert rows[0] == "| best | +2.10 | 100% | 100% | 100% | 0% | 100% | 9.0 | 100% |"


def test_the_config_fits_together() -> None:
    run = load_config(CONFIG)
    recipe, text = present(run.base_model), present(run.pretraining)
    assert (run.prompts.source, run.gold) == ("dialogues", "dialogues")
    assert recipe.context_tokens >= MAX_PROMPT_TOKENS + MAX_ANSWER_TOKENS
    assert run.response.max_tokens == MAX_ANSWER_TOKENS
    assert run.label_schedule.wanted(run.run.episodes) == run.labels.total
    assert run.ppo.ptx.coefficient == 0
    # What is mixed in is what the policy was supervised on, in the same way.
    assert (text.source, text.num_texts, text.seed) == (recipe.texts, recipe.num_texts, recipe.seed)
    for key in ("whole_texts", "loss_after", "block_tokens"):
        assert getattr(text, key) == getattr(recipe.training, key)
    assert text.loss_after in LAST_WORDS.split()


def test_a_case_is_a_run_of_its_coefficient_and_its_seed() -> None:
    case = case_of(0.3, 4)
    assert (case.config.ppo.ptx.coefficient, case.config.run.name) == (0.3, "dialogue-ptx0.3")
    assert present(case.config.base_model).seed == present(case.config.pretraining).seed == 4
    assert case.folder.name.startswith("ptx0.3-4-")
    assert (name_of(0.0), name_of(0.3)) == ("RL alone", "mixed, γ 0.3")


def test_every_system_is_given_the_same_dialogues() -> None:
    assert fresh_dialogues(3) == fresh_dialogues(4)[:3]
    assert len({each.text for each in fresh_dialogues(50)}) > 40


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the task makes: whole runs, drawings and base models; nothing is run."""
    made: list[str] = []

    def fake_run(config: Path, folder: Path, settings: dict[str, object]) -> None:
        made.append(f"run {settings['ppo.ptx.coefficient']}")
        folder.mkdir(parents=True, exist_ok=True)
        figures = ("reward/gold_mean", "policy/alignment_tax")
        rows = [
            {"policy/step": n, "policy/episodes": 128 * n, **dict.fromkeys(figures, float(n))}
            for n in range(4)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def fake_draw(
        folder: Path, prompts: Sequence[Sequence[ChatMessage]], response: object, seed: int
    ) -> list[Response]:
        made.append(f"drawn {folder.parts[-3].rpartition('-')[0]}")
        assert prompts == [each.turns for each in fresh_dialogues(3)]
        return [Response(text=confirmation(each.booking)) for each in fresh_dialogues(3)]

    def fake_base(recipe: BaseModelConfig, runs: Path) -> Path:
        made.append(f"base {recipe.texts} {recipe.seed}")
        return tmp_path / "base-1" / "policy" / "final"

    monkeypatch.setattr(task, "FOLDER", tmp_path / "runs")
    monkeypatch.setattr(whole_run, "run_to_end", fake_run)
    monkeypatch.setattr(judging, "draw", fake_draw)
    monkeypatch.setattr(whole_run, "base_model", fake_base)
    monkeypatch.setattr(sys, "argv", ["dialogue", "--dialogues", "3"])
    return made


def test_everything_is_made_once(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task.main()
    before = ["base dialogues 1", "drawn base"]
    assert made == [*before, "run 0.0", "drawn ptx0-1", "run 0.3", "drawn ptx0.3-1"]
    rows = capsys.readouterr().out.splitlines()
    names = [row.split("|")[1].strip() for row in rows if row.startswith("| ")]
    systems = ["references", "last turn alone", "supervised", "RL alone", "mixed, γ 0.3"]
    assert names[2:] == systems
    assert (tmp_path / "runs" / "dialogue.png").read_bytes().startswith(b"\x89PNG")
    made.clear()
    task.main()
    assert made == ["run 0.0", "run 0.3"]  # which look whether they have ended, and return


def test_the_figure_is_drawn_without_runs_too(tmp_path: Path) -> None:
    draw({}, {"last turn alone": measured(BEST)}, tmp_path / "made" / "it.png")
    assert (tmp_path / "made" / "it.png").read_bytes().startswith(b"\x89PNG")
