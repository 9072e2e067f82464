"""The base of every config class: what it refuses to be defined with, and to be given."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from protocol.limits import LARGEST_SEED
from protocol.seeds import derived_seed
from protocol.settings import Fraction, Seed, Settings


class Example(Settings):
    count: int = Field(default=1, ge=1, le=10)
    share: Fraction | None = None
    pair: tuple[Fraction, Fraction] = (0.0, 1.0)
    many: tuple[Annotated[int, Field(ge=0, le=9)], ...] = ()
    named: dict[str, Fraction] = Field(default={})
    flag: bool = False
    text: str = ""
    level: Literal[0, 1] = 0


def define(annotation: object, default: object) -> type[Settings]:
    return type(
        "Loose", (Settings,), {"__annotations__": {"x": annotation}, "x": default, "__module__": ""}
    )


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (int, 1),
        (float, 1.0),
        (int | None, None),
        (int, Field(default=1, ge=0)),
        (float, Field(default=1.0, lt=5)),
        (float, Field(default=1.0, ge=0, le=math.inf)),
        (tuple[float, Fraction], (0.0, 0.0)),
        (tuple[int, ...], Field(default=(), max_length=3)),
        (dict[str, float], {}),
        (Annotated[float, Field(gt=0)], 1.0),
    ],
)
def test_a_class_with_a_number_that_lacks_a_bound_cannot_be_defined(
    annotation: Any, default: Any
) -> None:
    with pytest.raises(TypeError, match=r"Loose\.x is (int|float) with bounds"):
        define(annotation, default)


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (str | None, "."),
        (str | None, ...),
        (str | None, Field(default=".", max_length=3)),
        (str | None, Field(default_factory=lambda: None)),
        (Fraction | None, 0.5),
        (Literal["a", None], "a"),
        (tuple[str | None, ...], ()),
        (tuple[str | None, ...] | None, None),
        (dict[str, str | None], {}),
        (Annotated[str | None, Field(max_length=3)], "."),
        (Any, None),
    ],
)
def test_a_class_with_a_none_that_its_file_cannot_say_cannot_be_defined(
    annotation: Any, default: Any
) -> None:
    with pytest.raises(TypeError, match=r"Loose\.x may be None, which TOML cannot say"):
        define(annotation, default)


@pytest.mark.parametrize(
    "annotation",
    [
        str | None,
        Fraction | None,
        Annotated[str | None, Field(max_length=3)],
        tuple[str, ...] | None,
        Example | None,
    ],
)
def test_a_none_that_leaving_the_key_out_says_is_good(annotation: Any) -> None:
    assert define(annotation, None).model_validate({}).model_dump() == {"x": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("count", value) for value in (0, 11, -1, math.inf, math.nan, 10**400, 1.5)),
        *(("share", value) for value in (-0.1, 1.1, math.inf, -math.inf, math.nan, 10**400)),
        ("pair", (math.nan, 0.5)),
        ("many", (1, 10)),
        ("named", {"a": math.inf}),
        # What pydantic would take by itself:
        ("count", True),
        ("count", "3"),
        ("share", False),
        ("share", "0.5"),
        ("pair", (0.5, True)),
        ("many", (True,)),
        ("named", {"a": "0.5"}),
        ("flag", 1),
        ("flag", "yes"),
        ("nope", 1),
    ],
)
def test_a_value_out_of_bounds_or_in_disguise_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Example.model_validate({name: value})


def test_what_is_written_plainly_is_taken() -> None:
    given = {"count": 3.0, "share": 1, "pair": [0, 0.5], "many": [4], "named": {"a": 1}}
    example = Example.model_validate(given)
    assert (example.count, example.share, example.pair) == (3, 1.0, (0.0, 0.5))
    assert (example.many, example.named) == ((4,), {"a": 1.0})


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, LARGEST_SEED), index=st.integers(0, 10**15))
def test_a_derived_seed_is_a_seed(seed: int, index: int) -> None:
    class Holder(Settings):
        seed: Seed

    Holder(seed=derived_seed(seed, "rollouts", index))


def test_parts_of_one_purpose_share_no_seed_and_purposes_draw_apart() -> None:
    actors = [derived_seed(LARGEST_SEED, "rollouts", index) for index in range(1_000)]
    assert len(set(actors)) == 1_000
    assert derived_seed(1, "rollouts") != derived_seed(1, "minibatches")
    assert derived_seed(1, "rollouts") == derived_seed(1, "rollouts")
