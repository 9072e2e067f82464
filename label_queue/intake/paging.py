"""Which stretch of a list a request wants."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from protocol.limits import LARGEST_STORED

Offset = Annotated[int, Query(ge=0, le=LARGEST_STORED)]
"""How many to pass over."""
Limit = Annotated[int, Query(ge=1, le=100)]
"""How many to return at most."""
