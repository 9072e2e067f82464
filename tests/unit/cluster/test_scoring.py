from collections.abc import Sequence

from cluster.loops.scoring import ResponseScorer, scored_sequence
from protocol.labels import QueryDraft
from protocol.messages import Score
from tests.support.messages import make_prompt, make_request, make_rollout


class CountingScorer:
    """Scores the n-th sequence it sees n, with two heads, and remembers all."""

    def __init__(self) -> None:
        self.seen: list[Sequence[int]] = []

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        first = len(self.seen)
        self.seen += sequences
        return [
            Score(value=float(n), heads=(n - 1.0, n + 1.0), reward_version=3)
            for n in range(first, len(self.seen))
        ]


def test_the_reward_reads_the_prompt_and_the_kept_tokens_only() -> None:
    # Of the response (4, 5, 6, 7) three tokens are kept.
    assert scored_sequence(make_rollout()) == (1, 2, 3, 4, 5, 6)


async def test_a_response_without_its_cut_gets_the_fixed_score_under_the_live_version() -> None:
    scorer = ResponseScorer(CountingScorer(), missing_cut_score=-1.0)

    scored = await scorer.score([make_rollout(), make_rollout(is_complete=False)])

    assert [item.score.value for item in scored] == [0.0, -1.0]
    assert scored[1].score.heads == (-1.0, -1.0)
    assert {item.score.reward_version for item in scored} == {3}


async def test_drafts_get_the_scores_of_their_own_rollouts() -> None:
    rollouts = [make_rollout(make_request(n, "query")) for n in range(3)]
    drafts = [
        QueryDraft(prompt=make_prompt(), rollouts=tuple(rollouts[:2])),
        QueryDraft(prompt=make_prompt(), rollouts=(rollouts[2],)),
    ]

    first, second = await ResponseScorer(CountingScorer(), -1.0).score_drafts(drafts)

    assert (first.scores, second.scores) == ((0.0, 1.0), (2.0,))
    assert first.heads == ((-1.0, 1.0), (0.0, 2.0))
    assert first.reward_version == second.reward_version == 3
