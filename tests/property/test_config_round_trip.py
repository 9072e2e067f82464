"""Whatever a run's config holds, its saved file says: read back, it is the same config."""

from __future__ import annotations

import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cluster.config import RunConfig
from cluster.config_file import load_config, save_config
from protocol.settings import numbers

TOOL = {"url": "http://127.0.0.1:8080", "token_env": "TOKEN"}
BASE: dict[str, Any] = {
    "people": ["ann"],
    "prompts": {},
    "labelers": [{"name": "bob"}],
    "labels": {
        "connectors": [
            {"kind": "label_studio", "project_id": 1, **TOOL},
            {"kind": "argilla", "dataset_id": "0" * 36, **TOOL},
            {"kind": "jsonl", "path": "/labels.jsonl"},
            {"kind": "redis", "url": "redis://127.0.0.1:6379", "stream": "labels"},
            {"kind": "kafka", "brokers": ["127.0.0.1:9092"], "topic": "labels"},
        ]
    },
}
WHOLE = {
    "policy": RunConfig.model_validate({**BASE, "policy": {"path": "model"}}),
    "base_model": RunConfig.model_validate({**BASE, "base_model": {}}),
}
"""One of each start of a run, with something in every list of sections."""

Place = tuple[str | int, ...]


def leaves(value: object, annotation: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Give each field of a config that is no section, with the type of what it may hold."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            # The bounds stand beside the annotation.
            kind = Annotated[field.annotation, field] if list(numbers(field)) else field.annotation
            yield from leaves(getattr(value, name), kind, (*place, name))
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for index, item in enumerate(value):
            yield from leaves(item, type(item), (*place, index))
    else:
        yield place, annotation


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


LEAVES = {name: dict(leaves(config, RunConfig)) for name, config in WHOLE.items()}
OPTIONAL = [
    (start, place)
    for start, fields in LEAVES.items()
    for place, annotation in fields.items()
    if type(None) in get_args(_bare(annotation))
]
TEXTS = st.text(max_size=12) | st.sampled_from(["", ".", "\n", "none", "a/b", "ann", 'say "x"'])


def values(annotation: Any, bounds: tuple[float, float] | None = None) -> st.SearchStrategy[Any]:
    """Draw what a field of that type may hold, in Python's words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        found = list(numbers(parts[1])) if hasattr(parts[1], "metadata") else []
        return values(parts[0], found[0][1] if found else bounds)
    if origin in (Union, types.UnionType):
        return st.one_of(*(values(part, bounds) for part in parts))
    if origin is Literal:
        return st.sampled_from(parts)
    if origin is tuple and parts[-1] is ...:
        return st.lists(values(parts[0], bounds), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(part, bounds) for part in parts))
    if origin is dict:
        return st.dictionaries(TEXTS, values(parts[1]), max_size=3)
    return _plain(annotation, bounds)


def _plain(annotation: Any, bounds: tuple[float, float] | None) -> st.SearchStrategy[Any]:
    low, high = bounds or (0.0, 1.0)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        type(None): st.none(),
        bool: st.booleans(),
        str: TEXTS,
        Path: TEXTS.map(Path),
        int: st.integers(round(low), min(round(high), 2**63 - 1)),
        float: st.floats(low, high),
    }
    # A section that may be left out: the base has it, or it is left out.
    return plain.get(annotation, st.none())


def with_value(config: RunConfig, place: Place, value: object) -> RunConfig:
    """Return a config with another value at a place. Raises ValidationError for one it refuses."""
    content = config.model_dump()
    inner: Any = content
    for part in place[:-1]:
        if isinstance(inner[part], tuple):
            inner[part] = list(inner[part])
        inner = inner[part]
    inner[place[-1]] = value
    return RunConfig.model_validate(content)


def saved_and_read(config: RunConfig) -> RunConfig:
    with tempfile.TemporaryDirectory(prefix="andon-") as folder:
        path = Path(folder) / "config.toml"
        save_config(config, path)
        return load_config(path)


def test_every_field_is_found() -> None:
    assert len(LEAVES["base_model"]) > 200
    assert ("response", "cut_token") in LEAVES["policy"]
    assert {place[-1] for _, place in OPTIONAL} >= {
        *("max_model_len", "critic_path", "guidelines", "drift_threshold", "token_ttl_s"),
        *("hook_secret_env", "tasks_path", "adversarial_after", "address"),
    }


@pytest.mark.parametrize(("start", "place"), OPTIONAL, ids=str)
def test_a_field_that_may_be_none_is_saved_as_none_and_as_something(
    start: str, place: Place
) -> None:
    something: Any
    for something in (None, 100, "A", "/some/where", "model"):
        try:
            config = with_value(WHOLE[start], place, something)
        except ValidationError:
            continue
        assert saved_and_read(config) == config


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), start=st.sampled_from(sorted(WHOLE)))
def test_every_config_is_read_back_as_it_was_saved(data: st.DataObject, start: str) -> None:
    config = WHOLE[start]
    places = st.sampled_from(sorted(LEAVES[start], key=str))
    for place in data.draw(st.lists(places, min_size=1, max_size=8, unique=True)):
        value = data.draw(values(LEAVES[start][place]), label=str(place))
        try:
            config = with_value(config, place, value)
        except ValidationError:
            event("refused")
    assert saved_and_read(config) == config
