"""Scores of what people judged: all by the run's last reward, taken while it is still served."""

from __future__ import annotations

import asyncio
from contextlib import closing

from cluster.config import RunConfig
from cluster.recordings.records import CandidateScore
from cluster.recordings.streams import CANDIDATE_SCORES, Recordings
from cluster.report.records import read_ledger
from cluster.run_folder import RunFolder
from label_queue.figures.validation import as_vote
from label_queue.folds.dataset import current_labels
from label_queue.shelf import each_of
from protocol.labels import ComparisonQuery
from protocol.ports import Scorer

MOST_QUERIES = 2_000
"""Queries that are scored at most, the newest."""


async def score_candidates(folder: RunFolder, config: RunConfig, scorer: Scorer) -> int:
    """Have the live reward score what validation queries showed; return how many responses it did.

    The scores go to the run's recordings. Of a run without judges, or without a reward, nothing is
    scored. Again: the scores stand there twice, and the newest count.

    Raises:
        ScoringFailed: No score came; nothing was written.
        NotFinite: A score is NaN or infinity; nothing was written.
        ResourceError: The ledger may not be read, or the disk refuses.
    """
    queries = await asyncio.to_thread(_judged, folder, config)
    asked = [
        (query.query_id, each.candidate_id, query.prompt_token_ids + each.token_ids)
        for query in queries
        for each in query.candidates
    ]
    if not asked:
        return 0
    scores = await scorer.score([sequence for _, _, sequence in asked])
    with closing(Recordings(folder.recordings)) as recordings:
        for (query_id, candidate_id, _), score in zip(asked, scores, strict=True):
            record = CandidateScore(
                query_id=query_id,
                candidate_id=candidate_id,
                reward_version=score.reward_version,
                score=score.value,
            )
            recordings.write(CANDIDATE_SCORES, record)
    return len(asked)


def _judged(folder: RunFolder, config: RunConfig) -> list[ComparisonQuery]:
    """Return the newest queries on which a choice between the policy and ρ stands, oldest first."""
    label_side, _ = read_ledger(config.labels.ledger_place(folder.ledger), config)
    if not label_side.judges or not label_side.reward_version:
        return []
    queries = label_side.board.queries
    labels = list(current_labels(label_side.history.events).values())
    asked = each_of(queries, (label.query_id for label in labels))
    judged = {
        query.query_id: query
        for query, label in zip(asked, labels, strict=True)
        if as_vote(query, label) is not None
    }
    newest = sorted(judged.values(), key=lambda query: (query.created_at, query.query_id))
    return newest[-MOST_QUERIES:]
