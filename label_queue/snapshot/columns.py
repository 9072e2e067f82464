"""What folds hold, in columns: numbers as bytes, records as what names them in the ledger.

    a column is [tag, …] of values of one type, or ["mixed", which, columns] of several

Nothing but the types named here and the classes marked `kept` is ever written or made.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from itertools import chain, islice
from typing import Any, get_args

from label_queue.folds.shared_tokens import share_tokens
from label_queue.kept import KEPT
from label_queue.ledger.records import Ledger
from protocol.labels import ComparisonQuery, LabelEvent

Column = list[Any]
"""A tag, and what belongs to it: bytes, strings, numbers and further columns."""

_NUMBERS = {"int": "q", "float": "d"}
_SEQUENCES: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    kind.__name__: kind for kind in (tuple, list, set, frozenset, deque)
}
_MAPPINGS: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "dict": dict,
    "defaultdict": dict,
    "OrderedDict": OrderedDict,
    "Counter": lambda pairs: Counter(dict(pairs)),
}
_PLAIN = ("NoneType", "bool", "str", "bytearray", "array", "query", "event")
_EVENTS = frozenset(get_args(LabelEvent))


class ColumnWriter:
    """Makes columns of what the folds of a ledger hold."""

    def fold(self, fold: object) -> dict[str, Any]:
        """Return a fold's kept attributes, by name; those that are folds themselves likewise."""
        said: dict[str, Any] = {}
        for name in KEPT[type(fold)]:
            value = getattr(fold, name)
            said[name] = self.fold(value) if is_fold(value) else self.column([value])
        return said

    def column(self, values: Collection[Any]) -> Column:
        """Return values of whatever types as a column. Raises TypeError for one not named here."""
        tag_of = {kind: _tag(kind) for kind in set(map(type, values))}
        tags = sorted(set(tag_of.values()))
        if len(tags) == 1:
            return [tags[0], *self._packed(tags[0], values)]
        which = bytes(tags.index(tag_of[type(value)]) for value in values)
        parts = [[value for value in values if tag_of[type(value)] == tag] for tag in tags]
        return ["mixed", which, [self.column(own) for own in parts]]

    def _packed(self, tag: str, values: Collection[Any]) -> list[Any]:
        if tag in _NUMBERS:
            return [array(_NUMBERS[tag], values).tobytes()]
        if tag in _SEQUENCES:
            return [_lengths(values), self.column(list(chain.from_iterable(values)))]
        if tag in _MAPPINGS:
            keys = list(chain.from_iterable(values))
            held = list(chain.from_iterable(each.values() for each in values))
            return [_lengths(values), self.column(keys), self.column(held)]
        if tag in _PLAIN:
            return self._plain(tag, values)
        names = KEPT[_kind(tag)]
        return [len(values), [self.column([getattr(e, name) for e in values]) for name in names]]

    def _plain(self, tag: str, values: Collection[Any]) -> list[Any]:
        match tag:
            case "NoneType":
                return [len(values)]
            case "bool":
                return [bytes(values)]
            case "str":
                return [list(values)]
            case "bytearray":
                return [[bytes(each) for each in values]]
            case "array":
                return [[[each.typecode, each.tobytes()] for each in values]]
            case "query":
                return [[each.query_id for each in values]]
            case _:
                assert tag == "event", "all of _PLAIN are here"
                return [array("q", [each.seq for each in values]).tobytes()]


class ColumnReader:
    """Makes of columns what the folds held, of the same ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._words: dict[str, str] = {}
        """Texts that were made: those that are alike are one."""

    def fold(self, said: Mapping[str, Any], fold: object) -> dict[str, Any]:
        """Return the values of a fold's kept attributes, by name, without touching it."""
        values: dict[str, Any] = {}
        for name in KEPT[type(fold)]:
            held = getattr(fold, name)
            if is_fold(held):
                values[name] = self.fold(said[name], held)
            else:
                [values[name]] = self.column(said[name])
        return values

    def column(self, column: Column) -> list[Any]:
        """Return the values of a column. Raises ValueError, KeyError or so where it is none."""
        tag, *packed = column
        if tag == "mixed":
            which, parts = packed
            values = [iter(self.column(part)) for part in parts]
            return [next(values[place]) for place in which]
        if tag in _NUMBERS:
            return _numbers(packed[0], _NUMBERS[tag])
        if tag in _SEQUENCES:
            return _cut(packed[0], self.column(packed[1]), _SEQUENCES[tag])
        if tag in _MAPPINGS:
            pairs = zip(self.column(packed[1]), self.column(packed[2]), strict=True)
            return _cut(packed[0], pairs, _MAPPINGS[tag])
        return self._of_one_kind(tag, packed)

    def _of_one_kind(self, tag: str, packed: Sequence[Any]) -> list[Any]:
        match tag:
            case "NoneType":
                return [None] * packed[0]
            case "bool":
                return list(map(bool, packed[0]))
            case "str":
                return [self._words.setdefault(text, text) for text in packed[0]]
            case "bytearray":
                return list(map(bytearray, packed[0]))
            case "array":
                return [array(typecode, held) for typecode, held in packed[0]]
            case "query":
                queries = self._ledger.find(ComparisonQuery, packed[0])
                return [share_tokens(queries[name]) for name in packed[0]]
            case "event":
                seqs = _numbers(packed[0], "q")
                rising = sorted(set(seqs))
                events = dict(zip(rising, self._ledger.at(LabelEvent, rising), strict=True))
                return [events[seq] for seq in seqs]
        return _made(_kind(tag), packed[0], [self.column(each) for each in packed[1]])


def put_back(fold: object, values: Mapping[str, Any]) -> None:
    """Give a fold the values that a `ColumnReader` found; containers stay the ones they are."""
    for name, value in values.items():
        held = getattr(fold, name)
        if is_fold(held):
            put_back(held, value)
        elif isinstance(held, dict | set):
            held.clear()
            held.update(value)
        elif isinstance(held, deque):
            held.clear()
            held.extend(value)
        elif isinstance(held, list | array | bytearray):
            held[:] = value
        else:
            setattr(fold, name, value)


def is_fold(value: object) -> bool:
    """Say whether something is a fold: of a class that is kept, and no dataclass of one moment."""
    return type(value) in KEPT and not is_dataclass(value)


def _tag(kind: type) -> str:
    if kind in _EVENTS:
        return "event"
    if kind is ComparisonQuery:
        return "query"
    if kind in KEPT:
        return f"{kind.__module__}:{kind.__qualname__}"
    name = kind.__name__
    if name in (*_NUMBERS, *_SEQUENCES, *_MAPPINGS, *_PLAIN):
        return name
    raise TypeError(f"a snapshot has no column for {kind}")


def _kind(tag: str) -> type:
    return next(kind for kind in KEPT if tag == f"{kind.__module__}:{kind.__qualname__}")


def _lengths(values: Iterable[Collection[Any]]) -> bytes:
    return array("q", map(len, values)).tobytes()


def _numbers(packed: bytes, typecode: str) -> list[Any]:
    return array(typecode, packed).tolist()


def _cut(lengths: bytes, values: Iterable[Any], make: Callable[[Iterable[Any]], Any]) -> list[Any]:
    """Return values cut into pieces of some lengths, each made into something."""
    rest = iter(values)
    return [make(islice(rest, length)) for length in _numbers(lengths, "q")]


def _made(kind: type, count: int, columns: Sequence[list[Any]]) -> list[Any]:
    """Return instances of a kept class, given its attributes in columns."""
    names = KEPT[kind]
    rows = zip(*columns, strict=True)
    if is_dataclass(kind):
        return [kind(**dict(zip(names, row, strict=True))) for row in rows]
    made: list[Any] = [object.__new__(kind) for _ in range(count)]
    for one, row in zip(made, rows, strict=True):
        for name, value in zip(names, row, strict=True):
            setattr(one, name, value)
    return made
