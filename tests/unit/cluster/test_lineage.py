"""The artifacts of a run as its folder describes them, before wandb is given any."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.metrics.lineage_folder import Given, LineageFolder
from cluster.report.ledger_moments import moments
from cluster.report.lineage import describe_lineage
from cluster.report.records import RunRecords, read_run
from cluster.run_folder import RunFolder
from cluster.stores.at_url import FoldersAtUrl
from cluster.stores.cache import FolderCache
from label_queue.folds.dataset import exclusions_sha256
from label_queue.oversight.trace import read_trace
from protocol.errors import InputError, MissingError
from protocol.labels import AnswerEvent, PolicyProvenance
from tests.support.kept_models import keep_checkpoint, save_final, synthetic_lineage
from tests.support.labels import make_exclusion
from tests.support.lineage import numbers, upstream
from tests.support.synthetic_run import LABELERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of four checkpoints whose last two rewards are still there."""
    return synthetic_lineage(tmp_path_factory.mktemp("runs") / "synthetic", bundles=(11, 12))


@pytest.fixture(scope="module")
def run(folder: RunFolder) -> RunRecords:
    return read_run(folder.path)


@pytest.fixture(scope="module")
def lineage(run: RunRecords, folder: RunFolder) -> LineageFolder:
    return describe_lineage(run, folder)


@pytest.mark.parametrize("version", [10, 20, 30, 40])
def test_what_is_upstream_of_a_policy_is_what_the_ledger_says_made_it(
    run: RunRecords, folder: RunFolder, lineage: LineageFolder, version: int
) -> None:
    traced = read_trace(
        run.config.labels.ledger_place(folder.ledger), run.config.labels.quality
    ).of_policy(version)
    found = upstream(lineage, f"checkpoint-{version}")
    assert set(traced.reward_versions) <= set(numbers(found, "reward"))
    rewards = {reward.version: reward for reward in run.rewards}
    # Besides those it was trained on, there are those that warm updates among these go on from.
    gone_on_from = {
        rewards[each].version
        for last in traced.reward_versions
        for each in range(1, last + 1)
        if not any(rewards[later].kind == "refit" for later in range(each + 1, last + 1))
    }
    assert set(numbers(found, "reward")) == gone_on_from
    assert numbers(found, "ledger") == sorted(rewards[each].ledger_seq for each in gone_on_from)
    assert numbers(found, "checkpoint") == [each for each in (10, 20, 30, 40) if each <= version]


def test_the_last_policy_is_made_of_its_checkpoint(lineage: LineageFolder) -> None:
    assert lineage["policy-40"].uses == ("checkpoint-40",)


def test_a_refit_uses_the_ledger_alone_and_a_warm_update_what_it_goes_on_from_too(
    run: RunRecords, lineage: LineageFolder
) -> None:
    described = [each for each in run.rewards if f"reward-{each.version}" in lineage]
    assert {each.kind for each in described} == {"refit", "warm"}
    for reward in described:
        before = () if reward.kind == "refit" else (f"reward-{reward.version - 1}",)
        uses = lineage[f"reward-{reward.version}"].uses
        assert uses == (f"ledger-{reward.ledger_seq}", *before)


def test_whatever_something_is_made_of_comes_before_it(lineage: LineageFolder) -> None:
    places = {each.name: each.place for each in lineage.artifacts}
    assert sorted(places.values()) == list(range(1, len(places) + 1))
    for each in lineage.artifacts:
        assert all(places[name] < each.place for name in each.uses)


def test_what_a_rollback_left_behind_is_behind_no_later_policy(
    run: RunRecords, tmp_path: Path
) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic", checkpoints=(10, 20), final=None)
    rolled_back = PolicyProvenance(
        version=41,
        episodes=1_280,
        reward_version=run.policies[9].reward_version,
        learned_through=run.policies[9].learned_through,
        restored_from=10,
        created_at=run.policies[-1].created_at + 1,
    )
    keep_checkpoint(folder, 41)
    after = replace(run, policies=(*run.policies, rolled_back))
    lineage = describe_lineage(after, folder)
    assert lineage["checkpoint-41"].uses == ("checkpoint-10",)
    assert "checkpoint-20" not in upstream(lineage, "checkpoint-41")
    assert lineage["checkpoint-41"].facts["restored_from"] == 10


def test_a_snapshot_counts_what_the_training_set_of_that_moment_holds(
    run: RunRecords, lineage: LineageFolder
) -> None:
    view, quality = run.label_side.view(), run.config.labels.quality
    for seq in numbers((each.name for each in lineage.artifacts), "ledger"):
        facts = lineage[f"ledger-{seq}"].facts
        labels = [event for event in view.events if event.seq <= seq]
        assert facts["labels_to_learn_from"] == len(view.dataset(seq, quality))
        assert facts["ledger_seq"] == facts["events"] == facts["labels"] == seq == len(labels)
        assert facts["exclusions_sha256"] == exclusions_sha256({})
        assert facts["labelers"] == len(LABELERS)


def test_a_snapshot_after_an_exclusion_says_so_and_an_answer_changes_its_digest(
    run: RunRecords,
) -> None:
    view, quality = run.label_side.view(), run.config.labels.quality
    seq = view.last_seq
    excluded = replace(make_exclusion("cem"), seq=seq + 1)
    after = replace(view, events=(*view.events, excluded))
    before, then = moments(after, [seq, seq + 1], quality)
    assert (before.facts["labelers_excluded"], then.facts["labelers_excluded"]) == (0, 1)
    assert then.facts["exclusions_sha256"] == exclusions_sha256({"cem": 0})
    assert then.facts["labels_to_learn_from"] == len(after.dataset(seq + 1, quality))
    answers = [each for each in view.events if isinstance(each, AnswerEvent)]
    first = next(each for each in answers if each.outcome == "choice")
    candidates = view.queries[first.query_id].candidates
    other = next(each.candidate_id for each in candidates if each.candidate_id != first.choice)
    changed = [replace(each, choice=other) if each is first else each for each in answers]
    (as_changed,) = moments(replace(view, events=changed), [seq], quality)
    assert as_changed.facts["labels_sha256"] != before.facts["labels_sha256"]
    assert as_changed.facts["labels"] == before.facts["labels"]


def everything(lineage: LineageFolder) -> str:
    return "".join(each.read_text() for each in sorted(lineage.path.rglob("*.json*")))


def test_no_text_and_no_name_is_in_it_unless_the_config_lets_them_leave(
    run: RunRecords, lineage: LineageFolder
) -> None:
    written = everything(lineage)
    queries = run.label_side.view().queries.values()
    texts = {each.prompt_text for each in queries}
    texts |= {candidate.text for query in queries for candidate in query.candidates}
    names = [f'"{name}"' for name in LABELERS]  # which, bare, may be in a digest
    assert [text for text in (*texts, *names) if text in written] == []
    assert not (lineage.path / "texts").exists()
    counts = lineage[lineage.artifacts[0].name].details["labels_per_labeler"]
    assert counts == sorted(counts, reverse=True)  # type: ignore[type-var, arg-type]


def test_with_text_a_snapshot_has_each_label_that_could_be_learned_and_shares_what_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.report.ledger_moments.LABELS_A_FILE", 50)
    folder = synthetic_lineage(tmp_path / "synthetic", wandb_text=True)
    run = read_run(folder.path)
    lineage = describe_lineage(run, folder)
    view, quality = run.label_side.view(), run.config.labels.quality
    ledgers = [each for each in lineage.artifacts if each.kind == "ledger"]
    for ledger in ledgers:
        lines = [
            json.loads(line)
            for texts in ledger.texts
            for line in lineage.texts_file(texts).read_text().splitlines()
        ]
        trained_on = view.dataset(ledger.number, quality)
        assert [line["seq"] for line in lines] == [each.seq for each in trained_on]
        assert [line["choice"] for line in lines] == [each.choice for each in trained_on]
        assert {line["labeler"] for line in lines} <= set(LABELERS)
        assert {line["prompt"] for line in lines} == {"the soup was"}
        assert set(ledger.details["labels_per_labeler"]) == set(LABELERS)  # type: ignore[arg-type]
    last = ledgers[-1]
    assert last.texts[0].path == "labels/000000000.jsonl"
    assert len(last.texts) == last.number // 50 + 1
    kept = list((lineage.path / "texts").iterdir())
    assert len(kept) < sum(len(each.texts) for each in ledgers)


def test_models_are_named_where_they_lie_by_digests_that_were_known(
    folder: RunFolder, run: RunRecords, lineage: LineageFolder
) -> None:
    place = folder.path.resolve() / "policy" / "v000040"
    found = {each.path: each for each in lineage["checkpoint-40"].references}
    assert set(found) == {"manifest.json", "rank-0000.safetensors", "rank-0001.safetensors"}
    for name, each in found.items():
        assert each.url == (place / name).as_uri()
        assert each.size == (place / name).stat().st_size
        assert each.sha256 == hashlib.sha256((place / name).read_bytes()).hexdigest()
        assert each.md5 is None
    (weights,) = [
        each for each in lineage["reward-12"].references if each.path == "model.safetensors"
    ]
    assert weights.sha256 == run.rewards[11].sha256  # as announced: the file was not read
    assert lineage["reward-1"].references == ()  # its bundle is gone
    final = {each.path: each for each in lineage["policy-40"].references}
    md5 = hashlib.md5(b"final 40").digest()
    assert final["model.safetensors"].md5 == b64encode(md5).decode()


def test_models_in_a_store_are_named_by_the_addresses_they_have_there(tmp_path: Path) -> None:
    store = f"file://{tmp_path}/store"
    folder = synthetic_lineage(
        tmp_path / "synthetic", checkpoints=(40,), final=None, cluster={"store": store}
    )
    place = folder.path / "policy" / "v000040"
    at_url = FoldersAtUrl(store, folder.path, FolderCache(tmp_path / "cache", 2**20))
    names = sorted(each.name for each in place.iterdir())
    for name in names:
        draft = at_url.draft(place)
        (draft / name).write_bytes((place / name).read_bytes())
        at_url.put(place, name)
    at_url.complete(place, names)
    lineage = describe_lineage(read_run(folder.path), folder)
    for each in lineage["checkpoint-40"].references:
        there = Path(each.url.removeprefix("file://"))
        assert there.read_bytes() == (place / each.path).read_bytes()


def give(lineage: LineageFolder, names: Sequence[str] | None = None) -> None:
    made = [each.name for each in lineage.artifacts if each.kind != "ledger"]
    lineage.note(Given(wandb_id="demo-1-9f2c61d0", names=tuple(made if names is None else names)))


def test_what_was_given_stays_and_what_came_since_is_added(tmp_path: Path) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic", checkpoints=(10, 20), bundles=(3,), final=20)
    before = describe_lineage(read_run(folder.path), folder)
    give(before)
    written = {each.name: before.file(each.name).read_bytes() for each in before.artifacts}
    (folder.rewards / "v000003" / "model.safetensors").unlink()  # retired
    for file in (folder.policies / "v000010").iterdir():
        file.unlink()
    (folder.policies / "v000010").rmdir()
    keep_checkpoint(folder, 40)
    save_final(folder, 40)
    after = describe_lineage(read_run(folder.path), folder)
    for name, content in written.items():
        assert after.file(name).read_bytes() == content
    new = [each.name for each in after.artifacts if each.name not in written]
    assert new[-2:] == ["checkpoint-40", "policy-40"]
    assert "checkpoint-20" in after["checkpoint-40"].uses
    again = describe_lineage(read_run(folder.path), folder)
    assert again.artifacts == after.artifacts


def test_texts_that_were_not_given_yet_are_held_back_once_the_config_says_so(
    tmp_path: Path,
) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic", wandb_text=True)
    run = read_run(folder.path)
    describe_lineage(run, folder)
    metrics = run.config.metrics.model_copy(update={"wandb_text": False})
    config = run.config.model_copy(update={"metrics": metrics})
    lineage = describe_lineage(replace(run, config=config), folder)
    assert all(not each.texts for each in lineage.artifacts)
    described = "".join(each.read_text() for each in lineage.path.glob("*.json"))
    assert [name for name in LABELERS if f'"{name}"' in described] == []


def test_a_given_reward_has_no_ledger_of_this_run_before_it(tmp_path: Path) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic")
    run = read_run(folder.path)
    given = run.config.run.model_copy(update={"reward": "/fits/four-heads"})
    config = run.config.model_copy(update={"run": given})
    rewards = tuple(replace(each, kind="refit") for each in run.rewards[:1])
    policies = tuple(replace(each, reward_version=1) for each in run.policies)
    lineage = describe_lineage(
        replace(run, config=config, rewards=rewards, policies=policies), folder
    )
    assert lineage["reward-1"].uses == ()
    assert lineage["reward-1"].facts["is_given"] is True
    assert numbers((each.name for each in lineage.artifacts), "ledger") == []


def test_a_last_policy_of_which_it_is_not_known_what_it_holds_is_left_out(tmp_path: Path) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic", final=None)
    (folder.policies / "final").mkdir()
    lineage = describe_lineage(read_run(folder.path), folder)
    assert [each.name for each in lineage.artifacts if each.kind == "policy"] == []


def test_the_learner_s_checkpoints_that_no_run_goes_on_from_are_left_out(tmp_path: Path) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic")
    (folder.checkpoints / "v000020.json").unlink()
    lineage = describe_lineage(read_run(folder.path), folder)
    assert "checkpoint-20" not in lineage
    assert "checkpoint-10" in lineage["checkpoint-30"].uses


def test_a_garbled_or_lost_description_is_named_with_the_mend(tmp_path: Path) -> None:
    folder = synthetic_lineage(tmp_path / "synthetic")
    run = read_run(folder.path)
    lineage = describe_lineage(run, folder)
    give(lineage)
    file = lineage.file("reward-1")
    content: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "place": "first"}))
    with pytest.raises(InputError, match=r"reward-1\.json: place: want a number.*put it back"):
        describe_lineage(run, folder)
    file.unlink()
    with pytest.raises(MissingError, match=r"reward-1\.json is not a file"):
        describe_lineage(run, folder)
