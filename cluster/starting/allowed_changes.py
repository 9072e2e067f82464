"""What a run that is resumed may be given anew, and what it must have as it had it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.config import RunConfig
from label_queue.connector_config import ConnectorConfig
from label_queue.connectors.places import refuse_other_names, refuse_other_projects
from protocol.errors import ConfigError

FIXED: Mapping[str, str] = {
    "run.seed": "the run's random draws go on from it",
    "run.mode": "its labels were scheduled by it",
    "labels.ledger_url": "the run's labels lie there",
    "run.reward": "what the policy was trained on would be another",
    "policy": "the weights go on from it",
    "base_model": "the weights go on from it",
    "prompts": "the place in the stream of prompts would be another's",
    "pretraining": "the place in the stream of its blocks would be another's",
    "ppo.batch_size": "the staleness bound counts in batches",
    "ppo.critic": "the critic's weights are of the other kind",
    "reward_model": "the reward's weights are of it",
    "learner.num_ranks": "the optimizer's state lies in as many parts as there were ranks",
    "learner.zero_stage": "the optimizer's state is parted by it",
    "learner.dtype": "the weights are kept in it",
    "learner.ema": "the average goes on from its own state",
    "reward_trainer.num_ranks": "the optimizer's state lies in as many parts as there were ranks",
    "reward_trainer.zero_stage": "the optimizer's state is parted by it",
    "reward_trainer.dtype": "the weights are kept in it",
}
"""Keys, and whole sections, that a resumed run must have as it had them; and why."""


def refuse_changes(
    before: RunConfig, after: RunConfig, former: Sequence[ConnectorConfig] = ()
) -> None:
    """Raise ConfigError where a resumed run was given what it cannot go on with; names the key.

    `former` are the connectors that it had before those of `before`.
    """
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    for key, why in FIXED.items():
        had, wanted = _at(old, key), _at(new, key)
        if had != wanted:
            raise ConfigError(
                f"{key} of a resumed run must stay {had!r}, not {wanted!r}: {why}; leave it, or "
                "start another run"
            )
    known = (*former, *before.labels.connectors)
    refuse_other_names(known, after.labels.connectors)
    refuse_other_projects(known, after.labels.connectors)


def _at(content: Mapping[str, Any], key: str) -> Any:
    found: Any = content
    for part in key.split("."):
        found = found[part]
    return found
