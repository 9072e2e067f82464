"""What crosses the owner's API, and the bodies that are its alone; the labelers' are in `schemas`.

    GET  /api/v1/owner/overview                             200 Overview
    GET  /api/v1/owner/stream                               text/event-stream, `overview` events
    GET  /api/v1/owner/labelers?offset=&limit=&search=&role=  200 PeoplePage: who may come in
    POST /api/v1/owner/labelers              NewLabeler   → 200 Admission
    POST /api/v1/owner/labelers/{id}/role       NewRole   → 200 Person
    POST /api/v1/owner/labelers/{id}/tokens/{token_id}/revoke
                                                Reason    → 200 Person
    GET  /api/v1/owner/labelers/agreement?offset=&limit=    200 AgreementMatrix
    GET  /api/v1/owner/labelers/{id}/answers?offset=&limit=&disputed=  200 AnswerPage
    GET  /api/v1/owner/labelers/{id}/exclusion?from_seq=&act=  200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/exclude Exclude      → 200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/reinstate  Reason    → 200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/undo         Undo    → 200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/revoke     Reason    → 204 its tokens, links, sessions are void
    POST /api/v1/owner/cord/pull                Reason    → 200 CordState
    POST /api/v1/owner/cord/release             Release   → 200 CordState
    POST /api/v1/owner/rollback                 Rollback  → 200 CordState
    GET  /api/v1/owner/gold?offset=&limit=&asked=           200 GoldPage
    GET  /api/v1/owner/gold/agreements?offset=&limit=       200 AgreementPage: what it could be of
    POST /api/v1/owner/gold                     NewGold   → 200 GoldRow
    POST /api/v1/owner/gold/written         WrittenGold   → 200 GoldRow
    POST /api/v1/owner/gold/{id}/edit        EditedGold   → 200 GoldRow, the new version
    POST /api/v1/owner/gold/{id}/retire         Reason    → 200 GoldRow
    POST /api/v1/owner/gold/{id}/bring_back     Reason    → 200 GoldRow

What is not defined here is what the label queue itself gives (`label_queue.oversight`, and
`label_queue.folds` for people). What only reads wants a token or session whose role is owner or
observer, all else an owner's: 403 otherwise. Who acts is kept in the ledger by name.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from label_queue.ids import Identifier, PersonId
from label_queue.intake.schemas import Body, ReasonText
from label_queue.ledger.records import Role
from protocol.errors import InvalidLabel
from protocol.limits import LARGEST_STORED
from protocol.messages import ChatMessage
from protocol.messages import Role as ChatRole
from protocol.settings import LanguageTag, Stored
from protocol.text_tree import TextNode


class Reason(Body):
    """Why; it is kept in the ledger."""

    reason: ReasonText


class Release(Reason):
    """Take away one of the reasons for which the cord is pulled; with the last the line goes on."""

    pull_id: Identifier | None = None
    """Which, by its `pull_id` in the cord's state; none: the one shown, which is the oldest."""


class Exclude(Reason):
    """Leave a labeler's labels out of every fit from now on."""

    from_seq: Stored = 0
    """Sequence number from which on the labeler's labels are left out; 0: all."""


class Undo(Reason):
    """Take the newest exclusion or reinstatement of a labeler back."""

    act_id: Identifier
    """Which, by the `undoable` of its answer or of the labeler's row."""


class Rollback(Reason):
    """Restore a policy version. The cord is pulled for it, and stays so until it is released."""

    to_version: Stored


class NewLabeler(Body):
    """Somebody to admit, or to give another link."""

    labeler_id: PersonId
    role: Role | None = None
    """Theirs; none: the one they have, and a labeler's for somebody new."""
    judges: bool = False
    """Whether they are asked validation queries alone from now on, and none of their labels ever
    trains: only of somebody who has given none. Nothing undoes it."""


class NewRole(Reason):
    """Another role for somebody who is in."""

    role: Role


class NewGold(Body):
    """A past query whose right answer the owner knows: from now on it is asked as gold."""

    query_id: Identifier
    choice: Identifier
    """Id of the right candidate."""


class Turn(Body):
    """One turn of a chat."""

    role: ChatRole
    content: Annotated[str, Field(min_length=1)]

    def as_message(self) -> ChatMessage:
        """Return it as prompts have it."""
        return ChatMessage(role=self.role, content=self.content)


Text = Annotated[str, Field(min_length=1)]
Prompt = Text | Annotated[tuple[Turn, ...], Field(min_length=1, max_length=256)]
"""A text, or a chat's turns, oldest first."""
Candidates = Annotated[tuple[str, ...], Field(min_length=2, max_length=26)]
Steps = Annotated[tuple[Annotated[int, Field(ge=1, le=LARGEST_STORED)], ...], Field(max_length=64)]
"""For each step down a tree a number, from 1."""
Answer = Annotated[int, Field(ge=0, le=25)]
"""Index of the right candidate."""


class Node(Body):
    """Where in a long text's tree a prompt stands; its fields are those of `TextNode`."""

    document_id: Identifier
    path: Steps
    siblings: Steps
    height: Stored
    num_children: Stored

    def as_node(self) -> TextNode:
        """Return it as prompts have it. Raises InvalidLabel for what no tree has."""
        try:
            return TextNode(**self.model_dump())
        except ValueError as error:
            raise InvalidLabel(f"node: {error}", "node") from error


class WrittenGold(Body):
    """A query written by hand: from now on it is asked as gold.

    It says its language, and where in a long text it stands, where the run's prompts do: labelers
    would know it by that.
    """

    prompt: Prompt
    candidates: Candidates
    """As many as the run's queries have, no two of them alike."""
    answer: Answer
    language: LanguageTag = ""
    """The prompt's, as in a prompt file."""
    node: Node | None = None


class EditedGold(Reason):
    """Another version of gold that is asked; what is left out stays as it is."""

    answer: Answer
    prompt: Prompt | None = None
    candidates: Candidates | None = None


def as_prompt(prompt: Prompt) -> str | tuple[ChatMessage, ...]:
    """Return a body's prompt as gold has it."""
    if isinstance(prompt, str):
        return prompt
    return tuple(turn.as_message() for turn in prompt)
