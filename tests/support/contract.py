"""What the suites of contract tests have in common: each says which part it is run for."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar


class Contract(ABC):
    """What a port promises, as tests; a part's own test class inherits them: `of=` says whose.

    `tests/unit/test_fakes.py` reads from that which fakes stand in for which real parts.
    """

    of: ClassVar[type | str]
    """The part under test; its name alone, where its module must not be imported yet."""

    def __init_subclass__(cls, *, of: type | str | None = None) -> None:
        super().__init_subclass__()
        if of is not None:
            cls.of = of
