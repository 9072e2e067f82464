"""Gold files, templates, showings and repeats."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from label_queue.quality.gold_tasks import (
    AskMoment,
    gold_showing,
    is_template,
    new_templates,
    past_template,
    read_gold,
    repetition,
    shown_query_id,
    task_of,
)
from label_queue.quality_config import GoldConfig, QualityConfig
from protocol.chat import as_mappings
from protocol.errors import InputError, MissingError
from tests.support.labels import NODE, make_config, make_query

MOMENT = AskMoment(now=2_000.0, labels=7)
TASK = {"prompt": "the soup was", "candidates": ["good", "bad"], "answer": 0}


def write(path: Path, *tasks: object) -> Path:
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return path


def test_a_gold_file_is_read_in_its_order(tmp_path: Path) -> None:
    path = write(tmp_path / "gold.jsonl", TASK, {**TASK, "answer": 1})
    path.write_text(path.read_text() + "\n\n")
    assert [task.answer for task in read_gold(path, 2)] == [0, 1]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({**TASK, "answer": 2}, "line 2: answer: want an index from 0 to 1, got 2"),
        ({**TASK, "answer": "0"}, "line 2: answer: "),
        ({**TASK, "candidates": ["a", "b", "c"]}, "line 2: candidates: want 2, as labels.num_"),
        ({**TASK, "candidates": ["a", "a"]}, "line 2: candidates: two are the same"),
        (
            {**TASK, "candidates": ["a", " a\n"]},
            r"line 2: candidates: two are the same .*\(0 and 1\)",
        ),
        ({**TASK, "candidates": ["a", 1]}, r"line 2: candidates.1: "),
        ({**TASK, "prompt": 3}, "line 2: prompt: give a text or a list of chat messages"),
        ({**TASK, "prompt": []}, "line 2: prompt: give a text or a list of chat messages"),
        ({**TASK, "prompt": [{"role": "boss", "content": "x"}]}, "line 2: prompt: message 0: each"),
        ({**TASK, "promt": "x"}, "line 2: promt: "),
        ({"prompt": "x", "candidates": ["a", "b"]}, "line 2: answer: "),
        ({**TASK, "language": "jp"}, "line 2: language: 'jp' is no language: want a BCP 47"),
        ([1], "line 2: "),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path: Path, task: object, words: str) -> None:
    path = write(tmp_path / "gold.jsonl", TASK, task)
    with pytest.raises(InputError, match=words):
        read_gold(path, 2)


def test_gold_may_ask_about_a_chat(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    path = write(tmp_path / "gold.jsonl", {**TASK, "prompt": turns}, TASK)
    config = make_config(
        kind="pair", num_candidates=2, quality=QualityConfig(gold=GoldConfig(path=path))
    )
    chat, plain = new_templates(config, (), "run-1", MOMENT)
    assert (chat.prompt_text, as_mappings(chat.prompt_messages)) == ("", turns)
    assert (plain.prompt_text, plain.prompt_messages) == ("the soup was", ())
    assert gold_showing(chat, "fresh", MOMENT).prompt_messages == chat.prompt_messages
    assert new_templates(config, {chat.query_id, plain.query_id}, "run-1", MOMENT) == []


def test_gold_may_say_its_language_and_is_other_gold_by_it(tmp_path: Path) -> None:
    path = write(tmp_path / "gold.jsonl", TASK, {**TASK, "language": "de"})
    config = make_config(
        kind="pair", num_candidates=2, quality=QualityConfig(gold=GoldConfig(path=path))
    )
    plain, german = new_templates(config, (), "run-1", MOMENT)
    assert (plain.prompt_language, german.prompt_language) == ("", "de")
    assert gold_showing(german, "fresh", MOMENT).prompt_language == "de"
    assert task_of(german) == read_gold(path, 2)[1]
    # The id that such gold has in ledgers from before gold could say its language.
    assert plain.query_id == "002f2bdd-713f-5887-96b0-7544435f5784"


def test_gold_may_say_where_it_stands_in_a_long_text_and_is_other_gold_by_it(
    tmp_path: Path,
) -> None:
    node = asdict(NODE)
    path = write(tmp_path / "gold.jsonl", TASK, {**TASK, "node": node})
    config = make_config(
        kind="pair", num_candidates=2, quality=QualityConfig(gold=GoldConfig(path=path))
    )
    plain, below = new_templates(config, (), "run-1", MOMENT)
    assert (plain.prompt_node, below.prompt_node) == (None, NODE)
    assert plain.query_id != below.query_id
    assert gold_showing(below, "fresh", MOMENT).prompt_node == NODE
    assert task_of(below) == read_gold(path, 2)[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"path": [2, 4]}, r"node: path \(2, 4\) and siblings \(2, 3\): want, for each step"),
        ({"path": [2]}, r"node: path \(2,\) and siblings"),
        ({"height": 1}, r"node: height 1 and num_children 0: want 0 and 0 of a leaf"),
        ({"height": "1"}, r"node\.height: Input should be a valid integer"),
    ],
)
def test_a_place_that_no_tree_has_is_named(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    path = write(tmp_path / "gold.jsonl", {**TASK, "node": {**asdict(NODE), **change}})
    with pytest.raises(InputError, match="line 1: " + says):
        read_gold(path, 2)


def test_what_is_no_gold_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=re.escape("see labels.quality.gold.path")):
        read_gold(tmp_path / "nowhere.jsonl", 2)
    with pytest.raises(InputError, match="no gold tasks"):
        read_gold(write(tmp_path / "empty.jsonl"), 2)
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_gold(tmp_path / "binary.jsonl", 2)
    (tmp_path / "cut.jsonl").write_text('{"prompt": ')
    with pytest.raises(InputError, match="line 1: "):
        read_gold(tmp_path / "cut.jsonl", 2)


def test_a_file_read_again_adds_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "gold.jsonl", TASK, {**TASK, "answer": 1}, TASK)
    config = make_config(
        kind="pair", num_candidates=2, quality=QualityConfig(gold=GoldConfig(path=path))
    )
    first = new_templates(config, (), "run-1", MOMENT)
    assert len(first) == 2
    assert all(is_template(template) for template in first)
    assert first[0].gold_answer == first[0].candidates[0].candidate_id
    later = AskMoment(now=9_000.0, labels=70)
    assert new_templates(config, {first[0].query_id}, "run-1", later)[0].query_id == (
        first[1].query_id
    )
    assert new_templates(config, {each.query_id for each in first}, "run-1", later) == []
    assert new_templates(make_config(), (), "run-1", MOMENT) == []


def test_a_showing_asks_the_template_under_ids_of_its_own() -> None:
    template = past_template(make_query(3), "q3-b", MOMENT)
    assert (template.repeat_of, template.num_wanted) == ("q3", 0)
    showing = gold_showing(template, "fresh", MOMENT)
    assert not is_template(showing)
    assert showing.repeat_of == template.query_id
    assert [c.text for c in showing.candidates] == [c.text for c in make_query(3).candidates]
    assert showing.gold_answer == showing.candidates[1].candidate_id
    ids = {c.candidate_id for c in showing.candidates}
    assert ids.isdisjoint(c.candidate_id for c in template.candidates)
    assert all(re.fullmatch(r"c-[0-9a-f]{16}", name) for name in ids)


def test_a_repeat_keeps_the_candidates_order_under_other_ids() -> None:
    query = make_query(3)
    repeat = repetition(query, "fresh", MOMENT)
    assert (repeat.purpose, repeat.repeat_of, repeat.num_wanted) == ("repeat", "q3", 1)
    assert [c.text for c in repeat.candidates] == [c.text for c in query.candidates]
    assert {c.candidate_id for c in repeat.candidates}.isdisjoint(
        c.candidate_id for c in query.candidates
    )
    assert (repeat.labels_before, repeat.created_at) == (7, 2_000.0)


def test_labelers_see_ids_that_tell_no_time() -> None:
    shown = shown_query_id("01993c1e-0000-7000-8000-000000000000")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", shown)
    assert shown == shown_query_id("01993c1e-0000-7000-8000-000000000000")
