"""Labels as TRL's preferences, one pair a line.

    {"prompt": [{"role": "user", "content": "the soup was"}],
     "chosen": [{"role": "assistant", "content": " warm ."}],
     "rejected": [{"role": "assistant", "content": " cold ."}], "margin": 0.333}

A choice among K candidates gives K − 1 pairs, the choice against each other one; a ranking gives
all K (K − 1) / 2 pairs (Ouyang et al. 2022, §3.5). Ties, both bad, skips and flags give none. Gold
and repeats are left out, as they are from every fit.

`margin` is Llama 2's (Touvron et al. 2023, Table 27, "small"): strength 1 slightly … 4 far better
becomes (strength − 1) / 3. TRL wants the column in all lines or in none: where no label states a
strength there is none, and otherwise 0 stands for "not said", which leaves that pair's loss as it
is without a margin.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from label_queue.config import QualityConfig
from label_queue.ledger.dataset import as_comparison, build_dataset, current_labels
from label_queue.ledger.records import Ledger
from protocol.errors import InputError
from protocol.labels import Comparison, ComparisonQuery, DatasetRules, LabelEvent

Style = Literal["conversational", "standard"]
"""Chat messages, for which the tokenizer needs a chat template; or plain text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One response preferred to another."""

    prompt: str
    chosen: str
    rejected: str
    margin: float | None


def preference_lines(
    ledger: Ledger, quality: QualityConfig, *, style: Style, keep_all: bool
) -> Iterator[bytes]:
    """Yield the lines of a ledger's labels as they stand, without their ends.

    Args:
        ledger: Whose labels.
        quality: The run's, by which labelers are judged.
        style: Of the texts.
        keep_all: Also take labels of labelers who are excluded, or whose labels are held.

    Raises:
        InputError: There is no pair to write.
    """
    events = ledger.events()
    queries = {query.query_id: query for query in ledger.queries()}
    by_seq = {event.seq: event for event in events}
    comparisons = _comparisons(queries, events, quality, keep_all)
    has_margin = any(by_seq[comparison.seq].strength is not None for comparison in comparisons)
    is_empty = True
    for comparison in comparisons:
        strength = by_seq[comparison.seq].strength
        for pair in preferences(comparison, queries[comparison.query_id], strength):
            is_empty = False
            yield _line(pair, style, has_margin)
    if is_empty:
        raise InputError("no label here states a preference that may be trained on (see --all)")


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
    labels = sorted(current_labels(events).values(), key=lambda event: event.seq)
    found = (as_comparison(queries[label.query_id], label) for label in labels)
    return tuple(each for each in found if each is not None and each.purpose in rules.purposes)


def preferences(
    comparison: Comparison, query: ComparisonQuery, strength: int | None
) -> Iterator[Preference]:
    """Yield the pairs of one label; see the module. A tie yields none."""
    texts = [candidate.text for candidate in query.candidates]
    margin = None if strength is None else (strength - 1) / 3
    for better, worse in _pairs(comparison, len(texts)):
        yield Preference(
            prompt=query.prompt_text, chosen=texts[better], rejected=texts[worse], margin=margin
        )


def _pairs(comparison: Comparison, num_candidates: int) -> list[tuple[int, int]]:
    if comparison.ranking is not None:
        return list(combinations(comparison.ranking, 2))
    if comparison.choice is None:
        return []
    others = (i for i in range(num_candidates) if i != comparison.choice)
    return [(comparison.choice, other) for other in others]


def _line(pair: Preference, style: Style, has_margin: bool) -> bytes:
    line: dict[str, object] = {
        "prompt": pair.prompt,
        "chosen": pair.chosen,
        "rejected": pair.rejected,
    }
    if style == "conversational":
        roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
        line = {key: [{"role": roles[key], "content": text}] for key, text in line.items()}
    if has_margin:
        line["margin"] = 0.0 if pair.margin is None else pair.margin
    return json.dumps(line, ensure_ascii=False).encode()
