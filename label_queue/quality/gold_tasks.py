"""Tasks on top of the schedule: gold from a file, from past queries or written, and repeats.

A gold *template* is a query nobody is asked (`num_wanted` 0); each time it is asked, a fresh query
is written whose `repeat_of` names it. Whether it is asked, `asked_gold` says. A repeat is a fresh
query whose `repeat_of` names the query asked before. All have ids of the usual form, so that
nothing in a task tells what it is for.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from label_queue.config import LabelsConfig
from protocol.chat import as_mappings, read_messages
from protocol.distinct import first_alike
from protocol.errors import InputError
from protocol.files import refuse_stream
from protocol.json_lines import line_of, read_json_lines
from protocol.labels import Candidate, ComparisonQuery
from protocol.messages import ChatMessage
from protocol.settings import LanguageTag
from protocol.text_tree import TextNode

BY_OWNER = "owner"
"""The selector of gold that the owner made: an event says from when on it is asked."""


def _as_prompt(value: object) -> str | tuple[ChatMessage, ...]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise ValueError("give a text or a list of chat messages")
    return read_messages(value, "")


class GoldTask(BaseModel):
    """One line of a gold file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    prompt: Annotated[str | tuple[ChatMessage, ...], PlainValidator(_as_prompt)]
    """A text, or chat messages as in a prompt file."""
    candidates: tuple[str, ...] = Field(min_length=2)
    answer: int = Field(ge=0, le=25)
    """Index of the best candidate."""
    language: LanguageTag = ""
    """Its language, as in a prompt file: gold without one would be told from prompts with one."""
    node: TextNode | None = None
    """Where in a long text's tree the prompt stands; needed where all other prompts do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskMoment:
    """What a query records of the moment it was written."""

    now: float
    labels: int
    """Labels received so far."""


def read_gold(path: Path, num_candidates: int) -> tuple[GoldTask, ...]:
    """Return the gold tasks of a file, in its order.

    Raises:
        MissingError: There is no such file.
        ResourceError: It may not be read.
        InputError: It is empty, or a pipe, or a line is not a gold task of `num_candidates`
            candidates; names line and field.
    """
    mend = "see labels.quality.gold.path"
    refuse_stream(path, "gold tasks", mend)
    lines = read_json_lines(path, "gold tasks", mend)
    tasks = tuple(_parse(line_of(path, number), said, num_candidates) for number, said in lines)
    if not tasks:
        raise InputError(f"{path}: no gold tasks; write one JSON object a line")
    return tasks


def _parse(place: str, said: object, num_candidates: int) -> GoldTask:
    try:
        # The JSON mode of a strict model takes lists for tuples.
        task = GoldTask.model_validate_json(json.dumps(said))
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        raise InputError(f"{place}: {name + ': ' if name else ''}{message}") from error
    problem = problem_of(task, num_candidates)
    if problem is not None:
        raise InputError(f"{place}: {problem[0]}: {problem[1]}")
    return task


def problem_of(task: GoldTask, num_candidates: int) -> tuple[str, str] | None:
    """Return the field at fault and what is wrong with it; None where the task can be asked."""
    if len(task.candidates) != num_candidates:
        return "candidates", (
            f"want {num_candidates}, as labels.num_candidates says, got {len(task.candidates)}: "
            "people would tell gold from the rest by their number"
        )
    alike = first_alike(_candidates(task, ""))
    if alike is not None:
        return "candidates", (
            f"two are the same to who reads them ({alike[0]} and {alike[1]}), so neither is best"
        )
    if task.answer >= len(task.candidates):
        return "answer", (f"want an index from 0 to {len(task.candidates) - 1}, got {task.answer}")
    return None


def problem_beside(task: GoldTask, asked: Collection[ComparisonQuery]) -> tuple[str, str] | None:
    """Return by which field gold would be told from the queries asked beside it, and what to do.

    None where it looks like them. Of a field that some of them have, it may have it or not.
    """
    says = {
        "language": (bool(task.language), {bool(each.prompt_language) for each in asked}),
        "node": (task.node is not None, {each.prompt_node is not None for each in asked}),
    }
    for field, (has_it, theirs) in says.items():
        if theirs == {not has_it}:
            mend = "leave it out, as all" if has_it else "say it, as all"
            return field, f"{mend} prompts of the run do: people would tell gold from the rest"
    return None


def new_templates(
    config: LabelsConfig, known: Collection[str], run_id: str, moment: AskMoment
) -> list[ComparisonQuery]:
    """Return the templates of the configured gold file that the ledger lacks; none without a file.

    Their ids are digests of what they say, so a file read again adds nothing. Raises as
    `read_gold` does.

    Args:
        config: Path, kind and number of candidates.
        known: Ids of the ledger's queries.
        run_id: Whose queries they become.
        moment: The present. Who gave a label before it is not put on probation for them.
    """
    path = config.quality.gold.path
    if path is None:
        return []
    tasks = read_gold(path, config.num_candidates)
    templates = {
        template.query_id: template
        for template in (_template(task, config, run_id, moment) for task in tasks)
    }
    return [template for name, template in templates.items() if name not in known]


def written_template(
    task: GoldTask,
    config: LabelsConfig,
    run_id: str,
    moment: AskMoment,
    past_query_id: str | None = None,
) -> ComparisonQuery:
    """Return what the owner wrote as a template; what says the same has the same id.

    Whoever answered `past_query_id`, of which it is a version, is not asked this.
    """
    template = _template(task, config, run_id, moment)
    return replace(template, selector=BY_OWNER, repeat_of=past_query_id)


def task_of(template: ComparisonQuery) -> GoldTask:
    """Return what a template says, as it could be written."""
    ids = [each.candidate_id for each in template.candidates]
    assert template.gold_answer is not None
    return GoldTask.model_construct(
        prompt=template.prompt_messages or template.prompt_text,
        candidates=tuple(each.text for each in template.candidates),
        answer=ids.index(template.gold_answer),
        language=template.prompt_language,
        node=template.prompt_node,
    )


def _template(
    task: GoldTask, config: LabelsConfig, run_id: str, moment: AskMoment
) -> ComparisonQuery:
    text, messages = ("", task.prompt) if isinstance(task.prompt, tuple) else (task.prompt, ())
    said = ["gold", text]
    if messages:
        said = ["gold chat", json.dumps(as_mappings(messages))]
    # Only where it is said: the same gold file makes the same ids as before there were languages.
    language = [f"in {task.language}"] if task.language else []
    # Likewise of where it stands in a long text.
    node = [] if task.node is None else [f"at {json.dumps(asdict(task.node))}"]
    query_id = _digest_id(*said, *task.candidates, str(task.answer), *language, *node)
    candidates = _candidates(task, query_id)
    return ComparisonQuery(
        query_id=query_id,
        run_id=run_id,
        kind=config.kind,
        purpose="gold",
        prompt_text=text,
        prompt_messages=messages,
        prompt_token_ids=(),
        candidates=candidates,
        reward_version=0,
        reward_scores=(),
        selector="gold",
        selection_probability=1.0,
        labels_before=moment.labels,
        created_at=moment.now,
        expires_at=moment.now,
        num_wanted=0,
        gold_answer=candidates[task.answer].candidate_id,
        prompt_language=task.language,
        prompt_node=task.node,
    )


def _candidates(task: GoldTask, query_id: str) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            candidate_id=_candidate_id(query_id, str(i)),
            text=text,
            token_ids=(),
            policy_version=0,
            temperature=0.0,
            max_tokens=0,
            seed=None,
            engine="gold",
            logprob_sum=0.0,
            finish_reason="end",
        )
        for i, text in enumerate(task.candidates)
    )


def past_template(query: ComparisonQuery, choice: str, moment: AskMoment) -> ComparisonQuery:
    """Return a past query as a template of the owner's, `choice` being the right candidate's id.

    Its `repeat_of` names the past query: who answered that is not asked this. The same query and
    choice again give the same id.
    """
    query_id = _digest_id("gold", query.query_id, choice)
    return replace(
        _again(query, query_id, moment),
        purpose="gold",
        selector=BY_OWNER,
        num_wanted=0,
        gold_answer=_candidate_id(query_id, choice),
        repeat_of=query.query_id,
    )


def is_template(query: ComparisonQuery) -> bool:
    """Say whether a query is a gold template, which nobody is asked itself."""
    return query.purpose == "gold" and query.num_wanted == 0


def gold_id(query: ComparisonQuery) -> str:
    """Return which gold a gold query is: the template's id, of the template as of its showings."""
    return query.query_id if is_template(query) else query.repeat_of or query.query_id


def gold_showing(template: ComparisonQuery, query_id: str, moment: AskMoment) -> ComparisonQuery:
    """Return a fresh query, for one labeler, that asks a template."""
    assert template.gold_answer is not None
    return replace(
        _again(template, query_id, moment),
        purpose="gold",
        gold_answer=_candidate_id(query_id, template.gold_answer),
        repeat_of=template.query_id,
    )


def repetition(query: ComparisonQuery, query_id: str, moment: AskMoment) -> ComparisonQuery:
    """Return a fresh query, for one labeler, that asks a query of theirs once more."""
    return replace(_again(query, query_id, moment), purpose="repeat", repeat_of=query.query_id)


def _again(query: ComparisonQuery, query_id: str, moment: AskMoment) -> ComparisonQuery:
    """Return a query's text under another id, its candidates in the same order under others."""
    return replace(
        query,
        query_id=query_id,
        candidates=tuple(
            replace(each, candidate_id=_candidate_id(query_id, each.candidate_id))
            for each in query.candidates
        ),
        labels_before=moment.labels,
        created_at=moment.now,
        expires_at=moment.now,
        num_wanted=1,
        ledger_seq=None,
    )


def shown_query_id(query_id: str) -> str:
    """Return the id under which labelers see a query.

    Its own is ordered by time, and that of gold and repeats is as young as their assignment.
    """
    return _digest_id("shown", query_id)


def _digest_id(*parts: str) -> str:
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def _candidate_id(query_id: str, name: str) -> str:
    """Return an id of the form that queries from rollouts give their candidates."""
    return f"c-{hashlib.sha256(f'{query_id}/{name}'.encode()).hexdigest()[:16]}"
