"""The task's measures worked out by hand, its drawing, table and figure, and what it makes once."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from actors.config import ResponseConfig
from actors.prompts.articles import MAX_PROMPT_TOKENS, SUFFIX, Article, article_corpus
from benchmarks.kept_results import KeptResults
from cluster.config_file import load_config
from examples.tasks import judging, whole_run
from examples.tasks.drawing import Response
from examples.tasks.drawing import draw as draw_summaries
from examples.tasks.measures import mean_of, preference, table
from examples.tasks.summaries import __main__ as task
from examples.tasks.summaries.__main__ import (
    COLUMNS,
    CONFIG,
    KEY,
    case_of,
    fresh_articles,
    judge_of,
    starts,
)
from examples.tasks.summaries.figure import draw
from examples.tasks.summaries.measures import (
    Measures,
    coverage,
    false_facts,
    longest_copy,
    novel_share,
)
from examples.tasks.whole_run import digest_of, start_of
from label_queue.simulated.config import LabelerProfile
from learners.text_config import BaseModelConfig
from tests.support.present import present
from tests.support.tiny_model import save_tiny_model
from tests.unit.actors.test_articles import EVENT

ARTICLE = Article(
    sentences=(
        "the mayor opened seven schools in lisbon .",
        "nobody was hurt .",
        "it happened on monday after the storm .",
        "a year ago nine boats were sold by the baker in oslo .",
        "the weather was fine .",
    ),
    news=EVENT,
    earlier=replace(EVENT, who="baker", deed="sold", count="nine", what="boats", where="oslo"),
    reference="the mayor opened seven schools on monday .",
)
COPIED = "the mayor opened seven schools in lisbon ."
WRONG = "the baker sold two boats ."
CAREFUL = LabelerProfile(beta=2.0, position_bias=0.5)
RANDOM = LabelerProfile(beta=0.0)


def measured(*texts: str) -> Measures:
    summaries = [Response(text=text) for text in texts]
    return Measures.of([ARTICLE] * len(texts), summaries, [CAREFUL, RANDOM])


def test_what_is_false_and_what_is_covered() -> None:
    assert false_facts(ARTICLE, COPIED) == []
    assert false_facts(ARTICLE, WRONG) == ["two"]
    assert coverage(ARTICLE, COPIED) == 5 / 7
    assert coverage(ARTICLE, ARTICLE.lead) == 1.0
    assert coverage(ARTICLE, WRONG) == 0.0


@pytest.mark.parametrize(
    ("summary", "size", "share"),
    [(COPIED, 3, 0.0), (WRONG, 2, 4 / 5), (WRONG, 3, 1.0), ("the mayor", 3, 0.0), ("", 2, 0.0)],
)
def test_the_share_of_runs_of_words_that_are_new(summary: str, size: int, share: float) -> None:
    assert novel_share(ARTICLE.text, summary, size) == share


@pytest.mark.parametrize(
    ("summary", "words"), [(COPIED, 8), (WRONG, 2), ("hurt . it happened so", 4), ("", 0)]
)
def test_the_longest_run_that_is_copied(summary: str, words: int) -> None:
    assert longest_copy(ARTICLE.text, summary) == words


def test_a_labeler_s_preference_is_the_mean_over_both_orders() -> None:
    assert preference(1.0, 1.0, CAREFUL) == pytest.approx(0.5)
    first, second = (1 / (1 + math.exp(-(2.0 + bias))) for bias in (0.5, -0.5))
    assert preference(2.0, 1.0, CAREFUL) == pytest.approx((first + second) / 2)
    assert preference(9.0, 1.0, RANDOM) == pytest.approx(0.5)


def test_measures_of_a_copy_worked_out_by_hand() -> None:
    found = measured(COPIED)
    # As much gold as the reference: five facts of seven in eight words, each.
    assert (found.gold, found.win_gold, found.win_labelers) == pytest.approx((3.7, 0.5, 0.5))
    # Of 7 words five are the reference's, of 6 pairs four.
    assert (found.rouge1, found.rouge2, found.rougeL) == pytest.approx((5 / 7, 4 / 6, 5 / 7))
    assert (found.true_facts, found.wholly_true, found.covered) == (1.0, 1.0, 5 / 7)
    assert (found.words, found.novel_2, found.longest_copy, found.sentences_copied) == (8, 0, 8, 1)


def test_measures_are_means_and_facts_are_counted_over_all() -> None:
    found = measured(COPIED, WRONG)
    assert found.true_facts == 1 - 1 / 9  # of 5 facts and 4, one is false
    assert found.wholly_true == 0.5
    assert found.gold == pytest.approx((3.7 + (0.75 - 1.0 - 0.6)) / 2)
    assert found.win_gold == 0.25
    assert found.sentences_copied == 0.5
    assert measured("").true_facts == 1.0


def test_a_reference_is_its_own_equal() -> None:
    found = measured(ARTICLE.reference)
    assert (found.win_gold, found.win_labelers, found.rouge1, found.rougeL) == (0.5, 0.5, 1, 1)


def test_measures_are_kept_and_come_back() -> None:
    found = measured(COPIED, WRONG)
    again = Measures.kept({"system": "a", **json.loads(json.dumps(found.to_keep()))})
    assert again.to_keep() == found.to_keep()
    assert mean_of([again, again]) == again


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "policy")


def test_what_is_drawn_does_not_depend_on_what_is_drawn_beside_it(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts are filled up to one length: that must change nothing."""

    def likeliest(shares: torch.Tensor, count: int, generator: object) -> torch.Tensor:
        return shares.argmax(dim=-1, keepdim=True)

    monkeypatch.setattr(torch, "multinomial", likeliest)
    prompts = ["the soup was", "the", "my room and the view was not very warm but we said"]
    response = ResponseConfig(mode="end_token", max_tokens=8)
    together = draw_summaries(policy, prompts, response, seed=1)
    alone = [draw_summaries(policy, [each], response, seed=1)[0] for each in prompts]
    assert together == alone
    assert len({each.text for each in alone}) == 3


def test_what_is_drawn_ends_at_the_end_token_and_follows_from_the_seed(policy: Path) -> None:
    response = ResponseConfig(mode="end_token", max_tokens=30)
    drawn = draw_summaries(policy, ["the soup was"] * 150, response, seed=1)
    assert drawn == draw_summaries(policy, ["the soup was"] * 150, response, seed=1)
    assert {each.is_complete for each in drawn} == {True, False}
    for each in drawn:
        assert "<eos>" not in each.text
        assert (len(each.text.split()) == 30) or each.is_complete


def test_the_table_has_a_row_for_each_system() -> None:
    systems = {"copies": [measured(COPIED)], "online": [measured(COPIED), measured(WRONG)]}
    head, rule, row, other = table(COLUMNS, systems, "summaries").splitlines()
    assert head.count("|") == rule.count("|") == row.count("|") == other.count("|")
    assert row.startswith("| copies | +3.70 | 50% | 50% | 71.4 | 66.7 | 71.4 | 100.0% | 100% | 71%")
    assert other.startswith("| online | +1.43 | 25% |")


def test_base_models_of_a_seed_differ_in_their_texts_alone() -> None:
    found = starts(7)
    assert list(found) == ["zero-shot", "supervised"]
    plain, demonstrations = (present(each.base_model) for each in found.values())
    assert (plain.texts, plain.training.loss_after) == ("articles", "")
    assert (demonstrations.texts, demonstrations.training.loss_after) == ("summaries", SUFFIX)
    assert plain.num_texts == demonstrations.num_texts
    assert (plain.seed, demonstrations.seed) == (7, 7)


@pytest.mark.parametrize("mode", task.MODES)
def test_all_of_a_run_follows_its_seed_and_its_base_model_is_found_made(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes: list[BaseModelConfig] = []

    def made(recipe: BaseModelConfig, runs: Path) -> Path:
        recipes.append(recipe)
        return runs

    monkeypatch.setattr(whole_run, "base_model", made)
    one, other = (case_of(mode, seed).config for seed in (3, 4))
    assert (one.run.seed, one.prompts.seed, present(one.base_model).seed) == (3, 3, 3)
    start_of(starts(3)["supervised"])
    assert recipes == [one.base_model]
    assert one.base_model != other.base_model


def test_what_is_judged_was_not_trained_on() -> None:
    recipe = load_config(CONFIG).base_model
    assert recipe is not None
    learned = set(article_corpus(2_000, recipe.seed))
    assert not learned & {f"{each.prompt} {each.reference}" for each in fresh_articles(500)}
    assert fresh_articles(3) == fresh_articles(4)[:3]


def test_the_config_fits_together_in_both_modes_with_as_many_labels() -> None:
    online, batched = (load_config(CONFIG, [f"run.mode={mode}"]) for mode in task.MODES)
    assert online.gold == batched.gold == "summaries"
    for run in (online, batched):
        assert run.label_schedule.wanted(run.run.episodes) == 960
        assert run.base_model is not None
        longest = MAX_PROMPT_TOKENS + run.response.max_tokens
        assert longest <= run.base_model.context_tokens
        assert run.base_model.training.loss_after == SUFFIX
    assert online.base_model == batched.base_model


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the task makes: whole runs, drawings and base models; nothing is run."""
    made: list[str] = []

    def fake_run(config: Path, folder: Path, settings: dict[str, object]) -> None:
        made.append(f"{folder.name.rpartition('-')[0]} {settings['run.mode']}")
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            {"policy/step": n, "policy/episodes": 128 * n, "reward/gold_mean": float(n)}
            for n in range(4)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def fake_draw(folder: Path, prompts: list[str], response: object, seed: int) -> list[Response]:
        made.append(f"drawn {folder.parts[-3].partition('-')[0]} {seed}")
        return [Response(text=COPIED) for _ in prompts]

    def fake_base(recipe: BaseModelConfig, runs: Path) -> Path:
        made.append(f"base {recipe.texts} {recipe.seed}")
        return tmp_path / recipe.texts / "policy" / "final"

    monkeypatch.setattr(task, "FOLDER", tmp_path / "runs")
    monkeypatch.setattr(whole_run, "run_to_end", fake_run)
    monkeypatch.setattr(judging, "draw", fake_draw)
    monkeypatch.setattr(whole_run, "base_model", fake_base)
    monkeypatch.setattr(sys, "argv", ["summaries", "--articles", "3", "--modes", "batched"])
    return made


def test_everything_is_made_once(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task.main()
    assert made == [
        "base articles 1",
        "drawn articles 1",
        "base summaries 1",
        "drawn summaries 1",
        "batched-1 batched",
        "drawn batched 1",
    ]
    rows = capsys.readouterr().out.splitlines()
    names = [row.split("|")[1].strip() for row in rows if row.startswith("| ")]
    assert names[2:] == ["references", "lead-3", "zero-shot", "supervised", "batched"]
    assert (tmp_path / "runs" / "summaries.png").read_bytes().startswith(b"\x89PNG")
    made.clear()
    task.main()
    assert made == ["batched-1 batched"]  # which looks whether it has ended, and returns


def test_another_recipe_is_made_anew_and_the_one_before_is_kept(
    made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.main()
    [before] = [each for each in (tmp_path / "runs").iterdir() if each.is_dir()]
    other = tmp_path / "other.toml"
    other.write_text(CONFIG.read_text().replace("lr = 2e-4", "lr = 3e-4", 1))
    made.clear()
    with monkeypatch.context() as changed:
        changed.setattr(task, "CONFIG", other)
        task.main()
        assert "drawn batched 1" in made
        assert before.name != case_of("batched", 1).folder.name
    assert before.name == case_of("batched", 1).folder.name
    made.clear()
    task.main()
    assert made == ["batched-1 batched"]


def test_results_of_other_articles_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "FOLDER", tmp_path)
    config = load_config(CONFIG)
    results = KeptResults(tmp_path / "results.jsonl", KEY)
    results.made(("online", digest_of(config), 1, 3), measured(COPIED).to_keep)

    def judged(count: int) -> Measures:
        return judge_of(count).policy("online", 1, config, lambda: tmp_path / "none")

    assert judged(3) == Measures.kept(measured(COPIED).to_keep())
    with pytest.raises(OSError, match="none"):
        judged(2)


def test_the_figure_is_drawn_without_runs_too(tmp_path: Path) -> None:
    draw({}, {"lead-3": measured(COPIED)}, tmp_path / "made" / "it.png")
    assert (tmp_path / "made" / "it.png").read_bytes().startswith(b"\x89PNG")
