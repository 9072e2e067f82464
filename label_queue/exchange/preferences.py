"""Labels as TRL's preferences, one pair a line.

    {"prompt": "the soup was", "chosen": " warm .", "rejected": " cold .", "margin": 0.333}
    {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
     "chosen": [{"role": "assistant", "content": "Hello."}],
     "rejected": [{"role": "assistant", "content": "What?"}]}

A plain prompt is written as a text and a chat as its messages, since either written as the other is
read as other tokens. TRL wants a file all of one style, so a ledger of both is written in two. A
chat whose last turn is the assistant's is written as it is: `andon import` goes on with that turn,
as the policy did, while TRL's templates end it and begin another.

A choice among K candidates gives K − 1 pairs, the choice against each other one; a ranking gives
all K (K − 1) / 2 pairs (Ouyang et al. 2022, §3.5). Ties, both bad, skips and flags give none, and
neither do two responses that are alike, as older ledgers hold some. Gold and repeats are left out,
as they are from every fit, and so is whatever judges say.

`margin` is Llama 2's (Touvron et al. 2023, Table 27, "small"): strength 1 slightly … 4 far better
becomes (strength − 1) / 3. TRL wants the column in all lines or in none: where no label states a
strength there is none, and otherwise 0 stands for "not said", which leaves that pair's loss as it
is without a margin.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from label_queue.folds.dataset import as_comparison, build_dataset, current_labels
from label_queue.ledger.records import Ledger
from label_queue.quality.standings import standings
from label_queue.quality_config import QualityConfig
from protocol.chat import as_mappings
from protocol.distinct import are_alike
from protocol.errors import InputError
from protocol.fits import Comparison, DatasetRules
from protocol.labels import AnswerEvent, ComparisonQuery, LabelEvent
from protocol.messages import ChatMessage

Style = Literal["conversational", "standard"]
"""TRL's words for a file of chats, and for one of plain prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One response preferred to another."""

    prompt: str
    """The plain prompt; empty for a chat."""
    messages: tuple[ChatMessage, ...]
    """The chat; empty for a plain prompt."""
    chosen: str
    rejected: str
    margin: float | None

    @property
    def style(self) -> Style:
        """Style of the file in which the preference is written without loss."""
        return "conversational" if self.messages else "standard"


def preference_lines(
    ledger: Ledger, quality: QualityConfig, *, style: Style | None, keep_all: bool
) -> Iterator[bytes]:
    """Yield the lines of a ledger's labels as they stand, without their ends.

    Args:
        ledger: Whose labels.
        quality: The run's, by which labelers are judged.
        style: Whether chats alone are written, or plain prompts alone; None: all prompts, which
            must be of one kind.
        keep_all: Also take labels of labelers who are excluded, or whose labels are held.

    Raises:
        InputError: There is no pair to write, or there are some of both styles.
    """
    events = ledger.events()
    queries = {query.query_id: query for query in ledger.queries()}
    strengths = {event.seq: event.strength for event in events if isinstance(event, AnswerEvent)}
    comparisons = _comparisons(queries, events, quality, keep_all)
    pairs = [
        pair
        for comparison in comparisons
        for pair in preferences(comparison, queries[comparison.query_id], strengths[comparison.seq])
    ]
    chosen = _of_one_style(pairs, style)
    has_margin = any(pair.margin is not None for pair in chosen)
    for pair in chosen:
        yield _line(pair, has_margin)


def _of_one_style(pairs: Sequence[Preference], style: Style | None) -> list[Preference]:
    if not pairs:
        raise InputError("no label here states a preference that may be trained on (see --all)")
    counts = Counter(pair.style for pair in pairs)
    if style is None and len(counts) > 1:
        raise InputError(
            f"{counts['conversational']} pairs are of chats and {counts['standard']} of plain "
            "prompts, and TRL wants a file all of one: give --style conversational for the chats, "
            "then --style standard for the others and another file"
        )
    chosen = [pair for pair in pairs if style in (None, pair.style)]
    if not chosen:
        [other] = counts
        raise InputError(f"no prompt here is {style}: all are {other}; leave --style out")
    return chosen


def _comparisons(
    queries: Mapping[str, ComparisonQuery],
    events: Iterable[LabelEvent],
    quality: QualityConfig,
    keep_all: bool,
) -> tuple[Comparison, ...]:
    events, rules = list(events), DatasetRules()
    if not keep_all:
        last_seq = events[-1].seq if events else 0
        return build_dataset(queries, events, last_seq, rules, quality)
    judges = standings(queries, events, quality).judges()
    standing = (e for e in current_labels(events).values() if e.labeler_id not in judges)
    labels = sorted(standing, key=lambda event: event.seq)
    found = (as_comparison(queries[label.query_id], label) for label in labels)
    return tuple(each for each in found if each is not None and each.purpose in rules.purposes)


def preferences(
    comparison: Comparison, query: ComparisonQuery, strength: int | None
) -> Iterator[Preference]:
    """Yield the pairs of one label; see the module. A tie yields none."""
    candidates = query.candidates
    margin = None if strength is None else (strength - 1) / 3
    for better, worse in _pairs(comparison, len(candidates)):
        if not are_alike(candidates[better], candidates[worse]):
            yield Preference(
                prompt=query.prompt_text,
                messages=query.prompt_messages,
                chosen=candidates[better].text,
                rejected=candidates[worse].text,
                margin=margin,
            )


def _pairs(comparison: Comparison, num_candidates: int) -> list[tuple[int, int]]:
    if comparison.ranking is not None:
        return list(combinations(comparison.ranking, 2))
    if comparison.choice is None:
        return []
    others = (i for i in range(num_candidates) if i != comparison.choice)
    return [(comparison.choice, other) for other in others]


def _line(pair: Preference, has_margin: bool) -> bytes:
    line: dict[str, object] = {
        "prompt": pair.prompt,
        "chosen": pair.chosen,
        "rejected": pair.rejected,
    }
    if pair.messages:
        line = {
            "prompt": as_mappings(pair.messages),
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
    if has_margin:
        line["margin"] = 0.0 if pair.margin is None else pair.margin
    return json.dumps(line, ensure_ascii=False).encode()
