"""Which labels made which reward, and which rewards which policy, as artifacts.

    ledger-96 ───▶ reward-1 ──▶ checkpoint-40 ──▶ checkpoint-80 ──▶ policy-80
                      │                                ▲
                      ▼                                │
    ledger-128 ──▶ reward-2 ───────────────────────────┘

A warm update uses the reward that it goes on from, beside the ledger as it was then; a checkpoint
uses the rewards that its steps since the checkpoint before were trained on, and that checkpoint. So
whatever is upstream of a policy is behind it, and nothing else is. No label made version 0, ρ.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from cluster.loops.checkpoints import RunCheckpoints
from cluster.metrics.lineage_folder import LineageFolder
from cluster.recordings.records import RewardRecord
from cluster.report.ledger_moments import moments
from cluster.report.records import RunRecords
from cluster.report.references import Address, address_in, references
from cluster.run_folder import RunFolder
from label_queue.folds.lineage import ancestry, rewards_behind
from protocol.folders import files_in
from protocol.labels import PolicyProvenance
from reward_service.manifests import parse_manifest
from reward_service.retention import bundle_path

MANIFEST_FILE = "manifest.json"


class _Digests(BaseModel):
    """What is read of a checkpoint's manifest."""

    sha256: Annotated[tuple[str, ...], Field(min_length=1)]
    """[W], of each rank's file."""


def describe_lineage(run: RunRecords, folder: RunFolder) -> LineageFolder:
    """Write down the artifacts of a run: its policies that are kept, and all that is behind them.

    Called again, it adds what has come since, and leaves what wandb was given as it is. Prompts,
    responses and labelers' names are in it only as `metrics.wandb_text` says.

    Args:
        run: What it left.
        folder: Its folder; no process of it is left.

    Raises:
        InputError: A file of the run is garbled.
        MissingError: One that wandb was given is gone.
        BundleCorrupt: The manifest of a checkpoint is garbled.
        ResourceError: The disk refuses.
    """
    return _Description(run, folder).written()


class _Description:
    """Describes what is not described yet, whatever a thing was made of before it."""

    def __init__(self, run: RunRecords, folder: RunFolder) -> None:
        self._run = run
        self._path = folder.path.resolve()
        self._folder = RunFolder(self._path)
        self._lineage = LineageFolder.begin(self._folder.lineage)
        self._address: Address = address_in(run.config.cluster.store, self._path)
        self._policies = {policy.version: policy for policy in run.policies}
        self._rewards = {reward.version: reward for reward in run.rewards}
        self._with_text = run.config.metrics.wandb_text

    def written(self) -> LineageFolder:
        kept = RunCheckpoints(self._folder.checkpoints, self._folder.policies).versions()
        checkpoints = [
            version
            for version in kept
            if version in self._policies and f"checkpoint-{version}" not in self._lineage
        ]
        final = self._final()
        policies = checkpoints if final is None else [*checkpoints, final]
        rewards = self._with_those_gone_on_from(
            reward
            for version in policies
            for reward in self._rewards_behind(ancestry(self._run.policies, version))
        )
        self._describe_ledger(rewards)
        for version in rewards:
            self._describe_reward(self._rewards[version])
        for version in checkpoints:
            self._describe_checkpoint(self._policies[version])
        if final is not None and f"policy-{final}" not in self._lineage:
            self._describe_policy(self._policies[final])
        return self._lineage

    # ── what is behind what ──────────────────────────────────────────────────────────────────

    def _final(self) -> int | None:
        """Return the version that `policy/final` holds; None where it holds none that labels made.

        A run that died after it was resumed has one there of the stop before, and says of which.
        """
        version = self._run.state.get("final_policy_version")
        is_there = version in self._policies and (self._folder.policies / "final").is_dir()
        return version if is_there else None

    def _made_of(self, version: int) -> list[str]:
        """Return the last described checkpoint on the way to a version, and the rewards since.

        By the names of their artifacts, the rewards rising.
        """
        line: list[PolicyProvenance] = []
        checkpoint: list[str] = []
        for policy in ancestry(self._run.policies, version):
            name = f"checkpoint-{policy.version}"
            if name in self._lineage:
                checkpoint = [name]
                break
            line.append(policy)
        return [*checkpoint, *(f"reward-{each}" for each in self._rewards_behind(line))]

    def _rewards_behind(self, line: Iterable[PolicyProvenance]) -> list[int]:
        """Return the rewards that a line of policies was trained on, of those known, rising."""
        return [version for version in rewards_behind(line) if version in self._rewards]

    def _goes_on_from(self, reward: RewardRecord) -> int | None:
        """Return the version that a warm update went on from; None for a refit."""
        before = [version for version in self._rewards if version < reward.version]
        return None if reward.kind == "refit" else max(before, default=None)

    def _with_those_gone_on_from(self, versions: Iterable[int]) -> list[int]:
        """Return reward versions and those they go back to, rising, without those described."""
        found: set[int] = set()
        for version in versions:
            at: int | None = version
            while at is not None and at not in found and f"reward-{at}" not in self._lineage:
                found.add(at)
                at = self._goes_on_from(self._rewards[at])
        return sorted(found)

    # ── the artifacts ────────────────────────────────────────────────────────────────────────

    def _describe_ledger(self, rewards: Iterable[int]) -> None:
        seqs = {
            self._rewards[version].ledger_seq
            for version in rewards
            if self._run.config.run.reward is None  # of a given reward the labels are elsewhere
        }
        found = moments(
            self._run.label_side.view(),
            [seq for seq in seqs if f"ledger-{seq}" not in self._lineage],
            self._run.config.labels.quality,
            self._lineage.write_texts if self._with_text else None,
        )
        for each in found:
            self._lineage.describe(
                "ledger", each.seq, facts=each.facts, details=each.details, texts=each.texts
            )

    def _describe_reward(self, reward: RewardRecord) -> None:
        before = self._goes_on_from(reward)
        uses = (f"ledger-{reward.ledger_seq}", *(() if before is None else (f"reward-{before}",)))
        bundle = bundle_path(self._folder.rewards, reward.version)
        weights = files_in(bundle, ("*.safetensors",))
        self._lineage.describe(
            "reward",
            reward.version,
            uses=[name for name in uses if name in self._lineage],
            facts={
                "version": reward.version,
                "kind": reward.kind,
                "ledger_seq": reward.ledger_seq,
                "exclusions_sha256": reward.exclusions_sha256,
                "labels_used": reward.labels_used,
                "weights_sha256": reward.sha256,
                "goes_on_from": before,
                "is_given": self._run.config.run.reward is not None,
                **reward.metrics,
            },
            details={
                "learned_seqs": _ranges(reward),
                "labeler_weights": (
                    dict(reward.labeler_weights)
                    if self._with_text
                    else list[JsonValue](sorted(weight for _, weight in reward.labeler_weights))
                ),
            },
            references=references(
                bundle, self._address, known=dict.fromkeys(weights, reward.sha256)
            ),
        )

    def _describe_checkpoint(self, policy: PolicyProvenance) -> None:
        place = self._folder.policies / f"v{policy.version:06d}"
        shares = files_in(place, ("rank-*.safetensors",))
        digests = parse_manifest(place / MANIFEST_FILE, _Digests).sha256
        self._lineage.describe(
            "checkpoint",
            policy.version,
            uses=self._made_of(policy.version),
            facts=self._facts(policy),
            references=references(
                place, self._address, known=dict(zip(shares, digests, strict=True))
            ),
        )

    def _describe_policy(self, policy: PolicyProvenance) -> None:
        self._lineage.describe(
            "policy",
            policy.version,
            uses=self._made_of(policy.version),
            facts=self._facts(policy),
            references=references(self._folder.policies / "final", self._address, is_proved=True),
        )

    def _facts(self, policy: PolicyProvenance) -> dict[str, JsonValue]:
        rewards = rewards_behind(ancestry(self._run.policies, policy.version))
        return {
            "version": policy.version,
            "episodes": policy.episodes,
            "reward_version": policy.reward_version,
            "learned_through": policy.learned_through,
            "restored_from": policy.restored_from,
            "rewards_behind": len(rewards),
        }


def _ranges(reward: RewardRecord) -> JsonValue:
    """Return the sequence numbers of what a fit was given; None in ledgers that do not say."""
    return None if reward.learned is None else [list(each) for each in reward.learned]
