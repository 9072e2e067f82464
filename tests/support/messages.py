"""Messages with sensible fields, for tests that care about one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from protocol.messages import (
    PolicyVersion,
    Probe,
    Prompt,
    Purpose,
    Rollout,
    RolloutRequest,
    Sampling,
    Score,
    ScoredRollout,
    WeightsFile,
)

SAMPLING = Sampling(temperature=1.0, max_tokens=4)
PROBE = Probe(token_ids=(1, 2), logprobs=(-0.5,))


def make_prompt(number: int = 0) -> Prompt:
    return Prompt(prompt_id=f"p-{number}", text="the soup was", token_ids=(1, 2, 3))


def make_request(number: int = 0, purpose: Purpose = "train") -> RolloutRequest:
    return RolloutRequest(
        rollout_id=f"{purpose[0]}-{number:06d}",
        prompt=make_prompt(number),
        purpose=purpose,
        sampling=SAMPLING,
    )


def make_rollout(
    request: RolloutRequest | None = None, version: int = 0, *, is_complete: bool = True
) -> Rollout:
    """What is trained on is one response again and again; what people compare is not."""
    request = request or make_request()
    number = int(request.rollout_id.rpartition("-")[2])
    own = {
        "train": (5, ""),
        "query": (10 + 2 * number, f" {number}"),
        "reference": (11 + 2 * number, f" ρ{number}"),
    }
    token_id, mark = own[request.purpose]
    return Rollout(
        rollout_id=request.rollout_id,
        prompt=request.prompt,
        purpose=request.purpose,
        sampling=request.sampling,
        token_ids=(4, token_id, 6, 7),
        behavior_logprobs=(-1.0, -1.0, -1.0, -1.0),
        policy_versions=(version,) * 4,
        num_kept=3,
        is_complete=is_complete,
        finish_reason="cut" if is_complete else "length",
        text=f"very good{mark} .",
        actor_id="rollout-0",
        started_at=10.0,
        finished_at=11.0,
    )


def make_score(value: float = 0.5, reward_version: int = 1) -> Score:
    return Score(value=value, heads=(value,), reward_version=reward_version)


def make_scored(
    rollout: Rollout | None = None, value: float = 0.5, reward_version: int = 1
) -> ScoredRollout:
    return ScoredRollout(rollout=rollout or make_rollout(), score=make_score(value, reward_version))


def make_policy(version: int = 0, episodes: int = 0) -> PolicyVersion:
    return PolicyVersion(
        version=version,
        episodes=episodes,
        weights=WeightsFile(path="", sha256="", num_bytes=0),
        probe=PROBE,
        reward_version=min(version, 1),
        learned_through=0,
    )


def weights_path(policy: PolicyVersion) -> Path:
    """Where a version's weights lie that were published as a file."""
    assert isinstance(policy.weights, WeightsFile), "not published as a file"
    return Path(policy.weights.path)


def with_version(rollout: Rollout, *versions: int) -> Rollout:
    return replace(rollout, policy_versions=versions)
