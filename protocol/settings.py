"""The base of every config class: frozen, closed, finite in every number, and whole when saved.

A class with a number that has no bounds cannot be defined, nor one with a None that TOML cannot
say, so that there is nothing to remember:

    class Example(Settings):
        width: int = 8                              TypeError where the class is defined
        width: int = Field(default=8, ge=1, le=64)  good
        seed: Seed = 1                              good, by a type that has its bounds
        marker: str | None = "."                    TypeError: a saved None would read back as "."
        marker: str = "."                           good, with "" for none
        marker: str | None = None                   good: what is left out is None

Bounds are generous: they keep out what is no size at all, and leave taste to the user.
"""

from __future__ import annotations

import math
import reprlib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from protocol.language_tags import why_no_language
from protocol.limits import LARGEST_SEED, LARGEST_STORED

DISGUISED = "disguised"
"""The type of the error that refuses a text or flag for a number; its context has the field."""
UNSHOWN = "unshown"
"""The type of the error that refuses what may hold a password: whoever tells it shows no value."""

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
"""A seed of random draws."""
Stored = Annotated[int, Field(ge=0, le=LARGEST_STORED)]
"""A sequence number of the ledger, or a version."""
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A count of at least one."""
Processes = Annotated[int, Field(ge=1, le=10_000)]
"""A number of processes, threads or devices."""
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
"""A length in tokens."""
Seconds = Annotated[float, Field(gt=0, le=1e9)]
"""A time in seconds, up to some thirty years."""
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A share of a whole, both ends included."""
Share = Annotated[float, Field(ge=0, lt=1)]
"""A share of a whole, never all of it."""
LearningRate = Annotated[float, Field(gt=0, le=1)]


def _is_a_language(tag: str) -> str:
    problem = why_no_language(tag) if tag else None
    if problem is not None:
        raise ValueError(problem)
    return tag


LanguageTag = Annotated[str, AfterValidator(_is_a_language)]
"""A BCP 47 language tag, e.g. "pt-BR"; "": the language is not known."""


class Closed(BaseModel):
    """What comes from a file: frozen, without unknown keys, NaN or infinity.

    Nothing is taken for a number or a flag that was written as something else: neither `true` for
    1 nor "8" for 8. A whole number may stand where a fraction is asked for, and 1e3 for 1000.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_what_was_written(cls, given: object) -> object:
        for name, value in given.items() if isinstance(given, Mapping) else ():
            field = cls.model_fields.get(name)
            wanted = None if field is None else _disguised(field.annotation, value)
            if wanted is not None:
                context = {"field": name, "wanted": wanted, "given": reprlib.repr(value)}
                raise PydanticCustomError(
                    DISGUISED, "{field}: want {wanted}, but got {given}", context
                )
        return given


class Bounded(Closed):
    """A model each of whose numbers has a lower and an upper bound.

    Raises:
        TypeError: When a subclass is defined with a number that lacks one.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Check the bounds of a class that was just defined."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            for kind, bounds in numbers(field):
                if any(not math.isfinite(bound) for bound in bounds):
                    raise TypeError(
                        f"{cls.__name__}.{name} is {kind.__name__} with bounds {bounds}: give it "
                        "both, ge or gt and le or lt"
                    )


class Settings(Bounded):
    """A section of a config: bounded, and its file can say all that it may hold.

    TOML has no None: the one way to write it is to leave a key out. So None is a whole field's
    default, or it is no value of that field.

    Raises:
        TypeError: When a subclass is defined with a None that is not its field's default.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Check the Nones of a class that was just defined."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if _has_unwritable_none(field):
                raise TypeError(
                    f"{cls.__name__}.{name} may be None, which TOML cannot say: make None the "
                    'default of the whole field, or spell it by a value, e.g. ""'
                )


def refuse_unread(
    section: str, settings: Settings, source: str, readers: Mapping[str, Sequence[str]]
) -> None:
    """Refuse keys of a section that its source does not read; raise ValueError.

    A key is given where it is not what it is by default: the config that a run keeps has all keys.

    Args:
        section: Of the config, e.g. "prompts".
        settings: Its content.
        source: Its source.
        readers: The sources that read a key, by key; of keys that all read, nothing.
    """
    for key, sources in readers.items():
        default = type(settings).model_fields[key].get_default(call_default_factory=True)
        if source not in sources and getattr(settings, key) != default:
            wanted = " or ".join(f'"{each}"' for each in sources)
            raise ValueError(
                f'{section}.{key} is given, and source "{source}" reads none: set '
                f"{section}.source = {wanted}, or leave the {key} out"
            )


def numbers(field: FieldInfo) -> Iterator[tuple[type, tuple[float, float]]]:
    """Give each number that a field may hold, with its bounds; −∞ or ∞ where one is missing."""
    yield from _numbers(field.annotation, field.metadata)


def _numbers(annotation: Any, metadata: list[Any]) -> Iterator[tuple[type, tuple[float, float]]]:
    origin = get_origin(annotation)
    if annotation in (int, float):
        yield annotation, _bounds(metadata)
    elif origin is Annotated:
        inner, *more = get_args(annotation)
        yield from _numbers(inner, [*metadata, *more])
    elif origin is not Literal:
        # What bounds a choice bounds each of it; what bounds a tuple is its length.
        passed_on = metadata if _is_choice(origin) else []
        for part in get_args(annotation):
            yield from _numbers(part, passed_on)


def _bounds(metadata: list[Any]) -> tuple[float, float]:
    """Return the narrowest bounds that a number's metadata name."""
    lows, highs = [-math.inf], [math.inf]
    for each in metadata:
        if isinstance(each, FieldInfo):
            low, high = _bounds(each.metadata)
            lows.append(low)
            highs.append(high)
        lows += [float(getattr(each, name)) for name in ("ge", "gt") if hasattr(each, name)]
        highs += [float(getattr(each, name)) for name in ("le", "lt") if hasattr(each, name)]
    return max(lows), min(highs)


def _has_unwritable_none(field: FieldInfo) -> bool:
    """Whether a field may hold a None other than the one that leaving its key out gives."""
    annotation = field.annotation
    if type(None) not in get_args(annotation):
        return _holds_none(annotation)
    is_default = field.default is None and field.default_factory is None
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return not is_default or any(map(_holds_none, parts))


def _holds_none(annotation: Any) -> bool:
    """Whether None may stand in a value of a type, or be one."""
    if annotation in (None, type(None), Any, object):
        return True
    return any(map(_holds_none, get_args(annotation)))


def _disguised(annotation: Any, value: object) -> str | None:
    """Say what was wanted if pydantic would quietly turn a value into a number or flag."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is bool:
        return None if isinstance(value, bool) else "true or false"
    if annotation in (int, float):
        return "a number, without quotes" if isinstance(value, bool | str) else None
    if origin is Annotated:
        return _disguised(inner[0], value)
    if _is_choice(origin):
        found = [None if kind is type(None) else _disguised(kind, value) for kind in inner]
        return next(filter(None, found), None) if value is not None and str not in inner else None
    if origin is tuple and isinstance(value, list | tuple):
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        found = [_disguised(kind, part) for kind, part in zip(kinds, value, strict=False)]
        return next(filter(None, found), None)
    if origin is dict and isinstance(value, Mapping):
        found = [_disguised(inner[1], part) for part in value.values()]
        return next(filter(None, found), None)
    return None


def _is_choice(origin: Any) -> bool:
    return origin in (Union, types.UnionType)
