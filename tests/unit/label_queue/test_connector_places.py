"""No two connectors read or write at one place, and none takes over another's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from label_queue.connector_config import ConnectorConfig
from label_queue.connectors.places import (
    refuse_other_names,
    refuse_other_projects,
    refuse_shared_places,
)
from label_queue.connectors.translation import outside_task
from protocol.errors import ConfigError
from tests.support.labels import make_config, make_query

Given = dict[str, Any]

UUID = "00000000-0000-0000-0000-00000000000a"
STUDIO: Given = {"kind": "label_studio", "url": "http://tool", "token_env": "T", "project_id": 1}
ARGILLA: Given = {"kind": "argilla", "url": "http://tool", "token_env": "T", "dataset_id": UUID}
FILE: Given = {"kind": "jsonl", "path": "/a/answers.jsonl", "tasks_path": "/a/tasks.jsonl"}
REDIS: Given = {"kind": "redis", "url": "redis://db", "stream": "labels", "tasks_stream": "tasks"}
KAFKA: Given = {
    "kind": "kafka",
    "brokers": ["one:9092", "two:9092"],
    "topic": "labels",
    "tasks_topic": "tasks",
}
OWN_FILE: Given = {"path": "/a/own.jsonl", "tasks_path": "/a/own_tasks.jsonl"}
OWN_STREAM: Given = {"stream": "own", "tasks_stream": "own_tasks"}
OWN_TOPIC: Given = {"topic": "own", "tasks_topic": "own_tasks"}


def connectors(*given: Given) -> tuple[ConnectorConfig, ...]:
    return make_config(connectors=given).connectors


def keys_in(error: pytest.ExceptionInfo[ConfigError]) -> tuple[str, ...]:
    """The settings that an error names."""
    return tuple(re.findall(r"\b(\w+) of '", str(error.value)))


def pairs(*of: tuple[Given, Given, str, str]) -> Iterable[tuple[Given, Given, str, str]]:
    return of


@pytest.mark.parametrize(
    ("given", "changes", "key", "others_key"),
    pairs(
        (STUDIO, {}, "project_id", "project_id"),
        (STUDIO, {"url": "https://TOOL:443/", "token_env": "U"}, "project_id", "project_id"),
        (ARGILLA, {"dataset_id": UUID.upper()}, "dataset_id", "dataset_id"),
        (FILE, {"tasks_path": None}, "path", "path"),
        (FILE, {"tasks_path": None, "path": "/a/b/../answers.jsonl"}, "path", "path"),
        (FILE, {"path": "/a/own.jsonl"}, "tasks_path", "tasks_path"),
        (FILE, {**OWN_FILE, "path": "/a/tasks.jsonl"}, "tasks_path", "path"),
        (FILE, {**OWN_FILE, "tasks_path": "/a/answers.jsonl"}, "path", "tasks_path"),
        (REDIS, {"tasks_stream": None}, "stream", "stream"),
        (REDIS, {"url": "rediss://db:6379/0", "stream": "own"}, "tasks_stream", "tasks_stream"),
        (REDIS, {**OWN_STREAM, "stream": "tasks"}, "tasks_stream", "stream"),
        (KAFKA, {"tasks_topic": None}, "topic", "topic"),
        (
            KAFKA,
            {"brokers": ["three:9092", "TWO:9092"], "topic": "own"},
            "tasks_topic",
            "tasks_topic",
        ),
        (KAFKA, {**OWN_TOPIC, "topic": "tasks"}, "tasks_topic", "topic"),
    ),
)
def test_two_at_one_place_are_refused_with_both_names_and_keys(
    given: Given, changes: Given, key: str, others_key: str
) -> None:
    both = connectors({**given, "name": "north"}, {**given, "name": "south", **changes})
    with pytest.raises(ConfigError) as error:
        refuse_shared_places(both)
    assert keys_in(error) == (key, others_key)
    assert "'north'" in str(error.value)
    assert "'south'" in str(error.value)


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        (STUDIO, {"project_id": 2}),
        (STUDIO, {"url": "http://tool:8080"}),
        (STUDIO, {"url": "http://tool/other"}),
        (ARGILLA, {"dataset_id": "0" * 36}),
        (FILE, OWN_FILE),
        (REDIS, OWN_STREAM),
        (REDIS, {"url": "redis://db/1"}),
        (REDIS, {"url": "redis://other"}),
        (KAFKA, OWN_TOPIC),
        (KAFKA, {"brokers": ["one:9093"]}),
    ],
)
def test_two_of_one_kind_at_places_of_their_own_are_not(given: Given, changes: Given) -> None:
    both = connectors({**given, "name": "north"}, {**given, "name": "south", **changes})
    refuse_shared_places(both)


def test_one_of_each_kind_share_nothing() -> None:
    refuse_shared_places(connectors(STUDIO, ARGILLA, FILE, REDIS, KAFKA))


def test_letters_stay_in_the_order_in_which_tasks_went_out() -> None:
    # A tool keeps its tasks over an update of Andon, and nothing here says in which order they are.
    orders = {name: outside_task(name, make_query()).order for name in ("north", "south")}
    assert orders == {
        "north": ("q0-d", "q0-b", "q0-a", "q0-c"),
        "south": ("q0-c", "q0-a", "q0-b", "q0-d"),
    }


@pytest.mark.parametrize(
    ("given", "changes", "key"),
    [
        (STUDIO, {}, "project_id"),
        (STUDIO, {"url": "https://tool", "token_env": "U"}, "project_id"),
        (ARGILLA, {}, "dataset_id"),
        (FILE, {}, "path"),
        (FILE, {"path": "/a/own.jsonl"}, "tasks_path"),
        (REDIS, {}, "stream"),
        (REDIS, {"stream": "own"}, "tasks_stream"),
        (KAFKA, {"brokers": ["two:9092"]}, "topic"),
        (KAFKA, {"topic": "own"}, "tasks_topic"),
    ],
)
def test_a_resumed_run_s_connector_keeps_its_name(given: Given, changes: Given, key: str) -> None:
    old, new = {**given, "name": "old"}, {**given, **changes, "name": "new"}
    with pytest.raises(ConfigError, match=rf"{key} is .* must stay 'old', not 'new': .* old name"):
        refuse_other_names(connectors(old), connectors(new))
    # Nor does one more come to where another is, which stays or goes elsewhere.
    for elsewhere in ({}, OWN_FILE if given is FILE else {}):
        with pytest.raises(ConfigError, match="must stay 'old', not 'new'"):
            refuse_other_names(connectors(old), connectors({**old, **elsewhere}, new))


def test_two_connectors_do_not_change_their_names_for_each_other_s() -> None:
    one, other = {**FILE, "name": "north"}, {**FILE, **OWN_FILE, "name": "south"}
    with pytest.raises(ConfigError, match="must stay 'north', not 'south'"):
        refuse_other_names(
            connectors(one, other), connectors({**one, "name": "south"}, {**other, "name": "north"})
        )


def test_what_a_resumed_run_s_connectors_may_change() -> None:
    before = connectors(STUDIO, FILE)
    refuse_other_names(before, connectors(FILE))
    refuse_other_names(before, connectors(STUDIO, {**FILE, **OWN_FILE}, REDIS))
    refuse_other_names(before, connectors({**STUDIO, "url": "http://moved", "sweep_s": 5.0}))
    refuse_other_names((), before)


def test_tasks_that_two_wrote_to_one_place_are_left_behind() -> None:
    """By a run that was begun when that was not refused."""
    north, south = ({**FILE, "path": f"/a/{n}.jsonl", "name": n} for n in ("north", "south"))
    before = connectors(north, south)
    with pytest.raises(ConfigError, match=r"tasks of 'north' and 'south' are there"):
        refuse_other_names(before, connectors(north, {**south, "tasks_path": "/a/new.jsonl"}))
    refuse_other_names(
        before,
        connectors(
            {**north, "tasks_path": "/a/newer.jsonl"}, {**south, "tasks_path": "/a/new.jsonl"}
        ),
    )
    # An answer that both read counts for one from now on.
    shared = {**FILE, "tasks_path": None}
    one, other = {**shared, "name": "north"}, {**shared, "name": "south"}
    refuse_other_names(connectors(one, other), connectors(one))


@pytest.mark.parametrize(
    ("old", "changes", "said"),
    [
        (STUDIO, {"project_id": 2}, "project_id of 'label_studio' must stay '1' .*, not '2'"),
        (ARGILLA, {"dataset_id": UUID.replace("a", "b")}, "dataset_id of 'argilla' must stay"),
        (FILE, {**REDIS, "name": "jsonl"}, "kind of 'jsonl' must stay 'jsonl' .*, not 'redis'"),
    ],
)
def test_a_resumed_run_s_connector_keeps_its_tool_and_project(
    old: Given, changes: Given, said: str
) -> None:
    new = changes if "kind" in changes else {**old, **changes}
    with pytest.raises(ConfigError, match=f"{said}.* taken back; give what is new another name"):
        refuse_other_projects(connectors(old), connectors(new))
    refuse_other_projects(connectors(old), connectors(old, {**new, "name": "new"}))


def test_a_resumed_run_s_tools_may_have_moved() -> None:
    before = connectors(STUDIO, ARGILLA, FILE, REDIS, KAFKA)
    moved = {"url": "https://elsewhere"}
    refuse_other_projects(
        before,
        connectors(
            {**STUDIO, **moved},
            {**ARGILLA, **moved, "dataset_id": UUID.upper()},
            {**FILE, **OWN_FILE},
            {**REDIS, **OWN_STREAM},
            {**KAFKA, **OWN_TOPIC},
        ),
    )
    refuse_other_projects(before, ())
    refuse_other_projects((), before)
