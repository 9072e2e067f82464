"""The reward trainer's promises: purity, versions, judging before learning, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from learners.comparisons import candidate_sequences, comparison_losses
from learners.config import LearnerConfig, PPOConfig, RewardFitConfig
from learners.judging import judge
from learners.policy_model import PolicyModel
from learners.reward_fit import RewardTrainer
from protocol.errors import InputError, NotFinite, VersionError
from protocol.fits import Comparison, FitKind, RewardVersion
from protocol.seq_ranges import as_ranges
from reward_service.batching import raw_scores
from reward_service.buckets import BatchLimits
from reward_service.bundle import load_bundle
from reward_service.config import RewardModelConfig
from reward_service.reward_model import RewardModel
from tests.support import learner_inputs as inputs
from tests.support.architectures import save_architecture
from tests.support.plain_engine import PlainEngine
from tests.support.present import present

REQUEST = inputs.fit_request(count=16)


@pytest.fixture
def trainer(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RewardTrainer:
    return make(model_folder, tmp_path, monkeypatch)


def make(
    model_folder: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    fit: RewardFitConfig = inputs.REWARD_FIT,
    model: RewardModelConfig = inputs.REWARD_MODEL,
    engine: LearnerConfig | None = None,
) -> RewardTrainer:
    monkeypatch.setattr("learners.reward_fit.Engine", PlainEngine)
    ticks = iter(range(100))
    return RewardTrainer(
        policy_path=model_folder,
        model=model,
        fit=fit,
        deepspeed=engine or inputs.engine_config(1, 0),
        root=root / "reward",
        reference_sequences=inputs.reference_sequences(),
        clock=lambda: float(next(ticks)),
    )


@pytest.mark.parametrize("heads", ["linear", "epistemic"])
def test_served_scores_times_the_scales_are_those_the_labels_were_learned_at(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    heads: Literal["linear", "epistemic"],
) -> None:
    model = RewardModelConfig(num_heads=3, heads=heads, prior_width=5, difference_width=7)
    trainer = make(model_folder, tmp_path, monkeypatch, model=model)
    trainer.fit(inputs.fit_request(count=11))
    update = inputs.fit_request("warm", count=5, first=11)
    version = present(trainer.fit(update))
    served = load_bundle(Path(version.path)).model
    limits = BatchLimits(max_tokens=64, max_sequences=8)
    scores = served.normalised(raw_scores(served, candidate_sequences(update.comparisons), limits))
    assert max(version.learned_scales) > 1.05 * min(version.learned_scales)
    judged = judge(scores * torch.tensor(version.learned_scales), update.comparisons)
    assert judged.loss == pytest.approx(trainer.judge(update.comparisons).loss, rel=1e-5)


def test_passes_of_few_tokens_learn_the_same(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where comparisons have unlike numbers of candidates, as these have."""
    sizes: list[int] = []
    true_forward = RewardModel.forward

    def seen(
        self: RewardModel, ids: Tensor, mask: Tensor, features: Tensor | None = None
    ) -> object:
        if torch.is_grad_enabled():
            sizes.append(ids.numel())
        return true_forward(self, ids, mask, features=features)

    monkeypatch.setattr(RewardModel, "forward", seen)
    wide = inputs.engine_config(1, 0, micro_batch_size=64)
    whole = present(make(model_folder, tmp_path / "a", monkeypatch, engine=wide).fit(REQUEST))
    largest, most = max(sizes), 48
    sizes.clear()
    narrow = inputs.engine_config(1, 0, micro_batch_size=64, micro_batch_tokens=most)
    cut = present(make(model_folder, tmp_path / "b", monkeypatch, engine=narrow).fit(REQUEST))
    assert most // 2 < max(sizes) <= most < largest
    for name in ("reward_model/loss", "reward_model/train_accuracy"):
        assert cut.metrics[name] == pytest.approx(whole.metrics[name], rel=1e-4), name


def test_a_refit_forgets_all_but_its_request(
    trainer: RewardTrainer, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.fit(inputs.fit_request(count=4))
    trainer.fit(inputs.fit_request("warm", count=5, first=11))
    late = present(trainer.fit(inputs.fit_request(count=11)))
    other = make(model_folder, tmp_path / "alone", monkeypatch)
    alone = present(other.fit(inputs.fit_request(count=11)))
    assert late.sha256 == alone.sha256
    assert (late.version, alone.version) == (3, 1)


def test_a_refit_worked_off_between_updates_is_the_one_made_at_once_and_moves_no_update(
    trainer: RewardTrainer, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, refit = inputs.fit_request(count=4), inputs.fit_request(count=11)
    updates = [inputs.fit_request("warm", count=5, first=start) for start in (11, 16)]
    trainer.fit(first)
    assert not trainer.advance(1, refit)
    assert not trainer.advance(1, refit)
    beside = [present(trainer.fit(updates[0]))]
    assert not trainer.advance(2)
    beside.append(present(trainer.fit(updates[1])))
    assert trainer.advance(3)
    last = present(trainer.fit(refit))
    after = present(trainer.fit(inputs.fit_request("warm", count=5, first=21)))

    other = make(model_folder, tmp_path / "at once", monkeypatch)
    other.fit(first)
    assert [present(other.fit(each)).sha256 for each in updates] == [x.sha256 for x in beside]
    at_once = present(other.fit(refit))
    assert (last.version, last.sha256) == (4, at_once.sha256)
    for name in ("reward_model/loss", "reward_model/correlation_with_previous"):
        assert last.metrics[name] == at_once.metrics[name]
    again = present(other.fit(inputs.fit_request("warm", count=5, first=21)))
    assert after.sha256 == again.sha256


def test_fits_of_heads_with_doubts_are_pure_and_leave_their_priors_as_they_were_drawn(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubting = RewardModelConfig(num_heads=3, heads="epistemic", prior_width=5, difference_width=7)
    bundles = []
    for name in ("one", "other"):
        trainer = make(model_folder, tmp_path / name, monkeypatch, model=doubting)
        requests = (inputs.fit_request(count=11), inputs.fit_request("warm", count=5, first=11))
        bundles.append([present(trainer.fit(request)) for request in requests])
    for one, other in zip(*bundles, strict=True):
        assert one.sha256 == other.sha256
    refit, update = (load_bundle(Path(each.path)).model.state_dict() for each in bundles[0])
    for name in ("priors.first", "priors.last"):
        assert torch.equal(refit[f"heads.{name}"], update[f"heads.{name}"])
    for name in ("differences.last", "point.weight"):
        assert refit[f"heads.{name}"].any()
        assert not torch.equal(refit[f"heads.{name}"], update[f"heads.{name}"])


def test_another_refit_takes_the_place_of_the_one_under_way(
    trainer: RewardTrainer, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.advance(1, inputs.fit_request(count=11))
    late = present(trainer.fit(inputs.fit_request(count=4)))
    other = make(model_folder, tmp_path / "alone", monkeypatch)
    assert late.sha256 == present(other.fit(inputs.fit_request(count=4))).sha256
    assert trainer.advance(1, inputs.fit_request(count=4))  # it is made


def test_a_refit_that_meets_nan_on_its_way_leaves_the_live_model_as_it_is(
    trainer: RewardTrainer, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.fit(inputs.fit_request(count=4))
    with monkeypatch.context() as patch:
        patch.setattr(
            "learners.fit_steps.comparison_losses", lambda *_: torch.full((1, 1), torch.nan)
        )
        with pytest.raises(NotFinite):
            trainer.advance(1, inputs.fit_request(count=11))
    update = inputs.fit_request("warm", count=5, first=11)
    other = make(model_folder, tmp_path / "alone", monkeypatch)
    other.fit(inputs.fit_request(count=4))
    assert present(trainer.fit(update)).sha256 == present(other.fit(update)).sha256


def test_an_update_of_a_version_that_is_not_the_newest_is_refused(trainer: RewardTrainer) -> None:
    trainer.fit(inputs.fit_request(count=4))
    update = replace(inputs.fit_request("warm", count=5, first=11), goes_on_from=1)
    assert present(trainer.fit(update)).version == 2
    with pytest.raises(VersionError, match="of reward version 1 came, and 2 is the newest"):
        trainer.fit(replace(update, ledger_seq=99))


def test_what_is_published_is_normalised_on_samples_of_the_reference(
    trainer: RewardTrainer,
) -> None:
    version = present(trainer.fit(inputs.fit_request()))
    model = load_bundle(Path(version.path)).model
    with torch.no_grad():
        scores = torch.cat(
            [
                model.normalised(
                    model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.int64))
                )
                for ids in inputs.reference_sequences()
            ]
        )
    torch.testing.assert_close(scores.mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.std(dim=0, correction=0), torch.ones(2))


def test_the_announcement_says_what_was_learned(trainer: RewardTrainer) -> None:
    request = inputs.fit_request()
    version = present(trainer.fit(request))
    assert (version.version, version.kind) == (1, "refit")
    assert version.ledger_seq == request.ledger_seq
    assert version.labeler_weights == request.labeler_weights
    assert version.labels_used == 11
    assert version.learned == as_ranges(each.seq for each in request.comparisons)
    assert version.fit_seconds == 1.0
    assert 0.0 <= version.metrics["reward_model/train_accuracy"] <= 1.0
    told = ("labels_used", "ledger_seq", "fit_seconds", "version")
    assert {name: version.metrics[f"reward_model/{name}"] for name in told} == {
        name: getattr(version, name) for name in told
    }


def test_the_same_request_again_is_the_first_answer(trainer: RewardTrainer) -> None:
    first = trainer.fit(inputs.fit_request())
    assert trainer.fit(inputs.fit_request()) is first


def test_a_warm_update_needs_a_refit_before(trainer: RewardTrainer) -> None:
    with pytest.raises(VersionError, match="refit first"):
        trainer.fit(inputs.fit_request("warm"))


def test_no_comparisons_are_refused(trainer: RewardTrainer) -> None:
    with pytest.raises(InputError, match="no comparisons"):
        trainer.fit(inputs.fit_request(count=0))


def test_a_sequence_the_model_cannot_take_is_named(trainer: RewardTrainer) -> None:
    request = inputs.fit_request()
    long = replace(request.comparisons[0], prompt_token_ids=(5,) * 80)
    with pytest.raises(InputError, match="over the reward model's context"):
        trainer.fit(replace(request, comparisons=(long,)))


def test_it_learns_a_preference_and_holds_it_on_new_queries(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labelers like token 5 and not token 9."""
    fit = RewardFitConfig(lr=3e-3, batch_size=8, warm_batch_size=8, bootstrap=False)
    trainer = make(model_folder, tmp_path, monkeypatch, fit, RewardModelConfig())
    trainer.fit(replace(inputs.fit_request(), comparisons=liking(range(64))))
    warm = replace(inputs.fit_request("warm"), comparisons=liking(range(64, 80)))
    version = present(trainer.fit(warm))
    assert version.metrics["reward_model/validation_accuracy"] >= 0.9
    assert version.metrics["reward_model/correlation_with_previous"] > 0.5


def liking(numbers: range) -> tuple[Comparison, ...]:
    return tuple(
        replace(
            inputs.comparisons(1)[0],
            seq=number,
            query_id=f"q{number}",
            purpose="validation",
            prompt_token_ids=(10 + number % 30,),
            candidate_token_ids=((5, 6), (9, 6)) if number % 2 else ((9, 6), (5, 6)),
            policy_versions=(0, 0),
            outcome="choice",
            choice=0 if number % 2 else 1,
            ranking=None,
        )
        for number in numbers
    )


def test_an_architecture_that_scores_otherwise_is_refused_at_the_first_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_architecture("opt, projected", tmp_path / "opt")
    trainer = make(folder, tmp_path, monkeypatch)
    with pytest.raises(InputError, match="OPTModel cannot be trained here: its hidden states"):
        trainer.fit(inputs.fit_request())


def test_a_critic_can_start_from_a_bundle(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linear = RewardModelConfig(num_heads=2)
    trainer = make(model_folder, tmp_path, monkeypatch, model=linear)
    version = present(trainer.fit(inputs.fit_request()))
    bundle = load_bundle(Path(version.path)).model
    ppo = PPOConfig(critic="separate", critic_path=version.path)
    model = PolicyModel.from_pretrained(model_folder, ppo)
    sequence = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        _, values, _ = model(sequence, sequence[:, 3:], torch.tensor([3]), torch.ones(1))
        scores = bundle.normalised(
            bundle(sequence[:, :3], torch.ones(1, 3, dtype=torch.int64))
        ).mean(dim=1)
    torch.testing.assert_close(values[0, 0], scores[0])


@pytest.mark.parametrize("kind", ["warm", "refit"])
def test_after_a_fit_broken_off_by_nan_the_next_is_as_if_it_had_not_been(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: FitKind
) -> None:
    def versions(root: Path, *, spoiled: bool) -> list[RewardVersion]:
        trainer = make(model_folder, root, monkeypatch)
        made = [present(trainer.fit(inputs.fit_request(count=8)))]
        second = inputs.fit_request(kind, count=9, first=8)
        if spoiled:
            calls = iter(range(10_000))

            def nan_at_the_third(*args: Any) -> torch.Tensor:
                return comparison_losses(*args) * (torch.nan if next(calls) == 2 else 1.0)

            with monkeypatch.context() as patch:
                patch.setattr("learners.fit_steps.comparison_losses", nan_at_the_third)
                with pytest.raises(NotFinite):
                    trainer.fit(second)
        return [*made, present(trainer.fit(second))]

    clean = versions(tmp_path / "clean", spoiled=False)
    mended = versions(tmp_path / "mended", spoiled=True)
    assert [each.version for each in mended] == [1, 2]
    assert [each.sha256 for each in mended] == [each.sha256 for each in clean]
    if kind == "warm":  # after a refit broken off there is no live model to judge by
        clean_metrics, metrics = ({**each[1].metrics} for each in (clean, mended))
        clean_metrics.pop("reward_model/fit_seconds")
        metrics.pop("reward_model/fit_seconds")
        assert metrics == clean_metrics
