"""Comparisons of made-up responses by simulated labelers, without a queue or a page."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from label_queue.simulated.choice import decide
from label_queue.simulated.config import LabelerProfile
from protocol.fits import Comparison
from protocol.labels import QueryKind

VOCABULARY = 120
CAREFUL = LabelerProfile(beta=7.5)
RANDOM = LabelerProfile(beta=0.0)
ADVERSARIAL = LabelerProfile(beta=7.5, is_adversarial=True)
CARELESS = LabelerProfile(beta=7.5, eps_mistake=0.25)
FIRST = LabelerProfile(beta=7.5, position_bias=1e6)


def simulate_comparisons(
    labelers: Mapping[str, LabelerProfile],
    count: int,
    *,
    num_candidates: int = 2,
    kind: QueryKind = "best_of_k",
    overlap: float = 0.05,
    dissenters: Sequence[str] = (),
    seed: int = 0,
) -> list[Comparison]:
    """Return `count` labels or a few more; `overlap` of the queries go to five labelers.

    A response is worth the sum of its tokens' values over √T; dissenters see the values of 30 % of
    the tokens the other way round.
    """
    rng = random.Random(seed)
    values = [rng.gauss(0.0, 1.0) for _ in range(VOCABULARY)]
    theirs = [value if rng.random() < 0.7 else -value for value in values]
    given: Counter[str] = Counter()
    comparisons: list[Comparison] = []
    number = 0
    while len(comparisons) < count:
        number += 1
        candidates = tuple(_response(rng) for _ in range(num_candidates))
        asked = rng.sample(sorted(labelers), 5 if rng.random() < overlap else 1)
        for name in asked:
            worth = theirs if name in dissenters else values
            order = rng.sample(range(num_candidates), num_candidates)
            utilities = [_utility(candidates[i], worth) for i in order]
            verdict = decide(utilities, kind, labelers[name], given[name], rng)
            given[name] += 1
            best_first = tuple(order[i] for i in verdict.order)
            comparisons.append(
                Comparison(
                    seq=len(comparisons) + 1,
                    query_id=f"q{number}",
                    labeler_id=name,
                    purpose="train",
                    prompt_token_ids=(),
                    candidate_token_ids=candidates,
                    policy_versions=(0,) * num_candidates,
                    outcome="ranking" if kind == "ranking" else "choice",
                    choice=None if kind == "ranking" else best_first[0],
                    ranking=best_first if kind == "ranking" else None,
                )
            )
    return comparisons


def _response(rng: random.Random) -> tuple[int, ...]:
    length = rng.randint(6, 12)
    return tuple(int(VOCABULARY * rng.random() ** 2) for _ in range(length))


def _utility(tokens: Sequence[int], values: Sequence[float]) -> float:
    return 1.5 * sum(values[token] for token in tokens) / math.sqrt(len(tokens))
