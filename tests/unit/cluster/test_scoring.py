from collections.abc import Sequence

from cluster.loops.scoring import ResponseScorer, scored_sequence, with_one_reward_version
from protocol.labels import QueryDraft
from protocol.messages import Rollout, Score, ScoredRollout
from tests.support.messages import make_prompt, make_request, make_rollout, make_scored


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


def scored_by(number: int, reward_version: int) -> ScoredRollout:
    return make_scored(make_rollout(make_request(number)), reward_version=reward_version)


async def always(_: int) -> bool:
    return True


async def test_a_batch_of_one_reward_version_is_left_alone() -> None:
    async def never(_: Sequence[Rollout]) -> list[ScoredRollout]:
        raise AssertionError("nothing was to be scored again")

    batch = [scored_by(0, 1), scored_by(1, 1)]
    assert await with_one_reward_version(batch, never, always) == batch


async def test_scores_again_until_all_agree_even_when_the_service_swaps_meanwhile() -> None:
    live = iter([3, 4, 4])
    asked: list[list[str]] = []

    async def score(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        version = next(live)
        asked.append([rollout.rollout_id for rollout in rollouts])
        return [make_scored(rollout, value=version, reward_version=version) for rollout in rollouts]

    batch = [scored_by(0, 2), scored_by(1, 3), scored_by(2, 2)]
    result = await with_one_reward_version(batch, score, always)

    # The two of version 2 come back as 3; all agree, so nobody asks for version 4.
    assert [item.score.reward_version for item in result] == [3, 3, 3]
    assert asked == [["t-000000", "t-000002"]]

    batch = [scored_by(0, 2), scored_by(1, 3)]
    result = await with_one_reward_version(batch, score, always)

    # Version 4 came for the first; then the second is older than it, and scored again too.
    assert [item.score.reward_version for item in result] == [4, 4]
    assert asked[1:] == [["t-000000"], ["t-000001"]]
    assert [item.rollout.rollout_id for item in result] == ["t-000000", "t-000001"]


async def test_scores_of_a_version_that_was_refused_are_had_anew() -> None:
    asked: list[int] = []

    async def is_served(version: int) -> bool:
        return version != 3

    async def score(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        asked.append(len(rollouts))
        return [make_scored(rollout, reward_version=2) for rollout in rollouts]

    for versions in ((3, 2, 3), (3, 3, 3)):
        batch = [scored_by(number, version) for number, version in enumerate(versions)]
        result = await with_one_reward_version(batch, score, is_served)
        assert [item.score.reward_version for item in result] == [2, 2, 2]
        assert [item.rollout for item in result] == [item.rollout for item in batch]
    assert asked == [2, 3]
