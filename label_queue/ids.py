"""The rules of `protocol.names` as types of config and bodies. Imports nothing but pydantic."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from protocol.names import (
    LABELER_PATTERN,
    LONGEST_IDENTIFIER,
    LONGEST_LABELER_ID,
    check_labeler_id,
    refuse_reserved,
)

Identifier = Annotated[str, Field(min_length=1, max_length=LONGEST_IDENTIFIER)]
"""Id of what the label queue makes itself, as it crosses the labelling API: queries, candidates…"""

PersonId = Annotated[
    str,
    AfterValidator(check_labeler_id),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_LABELER_ID,
            "pattern": f"^{LABELER_PATTERN}*$",
        }
    ),
]
"""Name of a labeler or an owner, in the ledger."""

LabelerId = Annotated[PersonId, AfterValidator(refuse_reserved)]
"""Name of a labeler, in the ledger; reserved names are refused."""
