from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.config_file import save_config
from cluster.report.page import Picture, Sample, render_page
from cluster.report.picture_time import time_lanes
from cluster.report.pictures_labels import pooled_accuracies
from cluster.report.records import CordRecord, read_run
from cluster.report.summary import REASONS, summarize
from cluster.report.write import PICTURES, write_report
from cluster.run_folder import RunFolder
from label_queue.figures.agreement import wilson_bounds
from label_queue.ledger.sql import SqlLedger
from protocol.errors import InputError, MissingError
from tests.support.overview import changed
from tests.support.synthetic_run import (
    NUM_STEPS,
    SyntheticRun,
    make_assignment,
    make_label,
    make_query,
    synthetic_config,
)

WANTED_KEYS = {
    "wall_s",
    "base_model_s",
    "peak_memory_bytes",
    "episodes",
    "labels_acknowledged",
    "labels_in_ledger",
    "reward_refits",
    "reward_versions",
    "gold_base_mean",
    "gold_base_std",
    "gold_final_mean",
    "kl_final_mean",
    "kl_target",
    "coverage_median",
    "label_to_policy_latency_p50_s",
    "label_to_policy_latency_p95_s",
    "labels_not_learned",
    "policy_lag_max",
    "max_policy_lag",
    "logprob_mismatch_max",
    "validation_winrate",
    "validation_winrate_low",
    "validation_winrate_high",
    "validation_labels_recent",
    "validation_winrate_recent",
    "validation_winrate_recent_low",
    "validation_winrate_recent_high",
    "labelled_by",
    "episodes_per_s",
    "learner_idle",
    "actor_idle",
    "seed",
    "mode",
    "versions",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a synthetic run, with its report."""
    folder = SyntheticRun(tmp_path_factory.mktemp("runs") / "synthetic").write()
    write_report(folder)
    return folder


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The folder of a run that has only just begun."""
    folder = RunFolder.create(tmp_path / "begun")
    save_config(synthetic_config({"kl": {"kind": "fixed"}}), folder.config)
    folder.update_state(run_id="begun", state="running")
    return folder.path


def test_summary_holds_every_wanted_key(finished: Path) -> None:
    summary = json.loads((finished / "report" / "summary.json").read_text())
    assert set(summary) >= WANTED_KEYS


def test_summary_of_a_known_run(finished: Path) -> None:
    summary = summarize(read_run(finished))
    assert summary["episodes"] == NUM_STEPS * 32
    assert summary["labels_in_ledger"] == summary["labels_acknowledged"] == 244
    assert summary["reward_refits"] == 6
    assert summary["policy_lag_max"] == 2
    assert summary["kl_final_mean"] == pytest.approx(8.0, abs=0.4)
    assert summary["learner_idle"] == 0.625
    text = ("pretraining_loss_base", "pretraining_loss_final", "alignment_tax_final")
    assert summary["unknown"] == {
        name: REASONS[name] for name in ("peak_memory_bytes", "actor_idle", *text)
    }


def test_summary_says_what_text_cost_rho_and_the_newest_policy(finished: Path) -> None:
    run = read_run(finished)
    rows = tuple(
        {"policy/step": step, "policy/pretraining_loss": loss, "policy/alignment_tax": loss - 1.25}
        for step, loss in enumerate((1.5, 2.0, 1.75))
    )
    summary = summarize(changed(run, rows=(*run.rows, *rows)))
    assert summary["pretraining_loss_base"] == 1.25
    assert summary["pretraining_loss_final"] == 1.75
    assert summary["alignment_tax_final"] == 0.5


@pytest.mark.parametrize(
    ("noted", "peak"),
    [({}, 5_000), ({"peak_memory_bytes": 4_000}, 5_000), ({"peak_memory_bytes": 7_000}, 7_000)],
    ids=["killed", "killed and resumed", "resumed"],
)
def test_the_peak_of_memory_is_that_of_the_whole_run(
    finished: Path, noted: dict[str, int], peak: int
) -> None:
    run = read_run(finished)
    rows = tuple({"time/wall_s": at, "system/rss_bytes": 1_000.0 * at} for at in (1.0, 5.0, 3.0))
    found = summarize(changed(run, rows=rows, state={**run.state, **noted}))
    assert found["peak_memory_bytes"] == peak


def test_report_of_a_run_that_has_only_begun_invents_nothing(begun: Path) -> None:
    assert write_report(begun).exists()
    summary = json.loads((begun / "report" / "summary.json").read_text())
    unknown = {name for name, value in summary.items() if value is None}
    assert unknown == set(REASONS) - {"run_id", "state"}
    assert summary["unknown"] == {name: REASONS[name] for name in unknown}
    assert summary["episodes"] == 0


def test_page_holds_every_picture_and_loads_nothing(finished: Path) -> None:
    page = (finished / "report" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == len(PICTURES)
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_whatever_came_from_outside_is_inert_in_the_page(finished: Path) -> None:
    run = read_run(finished)
    attack = '</td><script>alert(1)</script> & "x" onload=\''
    harmless = "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;x&#34; onload=&#39;"
    labeler = changed(run.labelers[0], labeler_id=attack, flags=(attack,))
    picture = Picture(path=finished / "report" / "kl.png", caption=attack)
    sample = Sample(prompt=attack, text=attack, gold=None)
    summary = {**summarize(run), "run_id": attack, "versions": {attack: attack}}
    page = render_page(summary, [picture], [sample], [sample], [labeler])
    assert "<script" not in page
    # Title and heading, the picture's two, the labeler's two, two samples', three of the figures.
    assert page.count(harmless) == 2 + 2 + 2 + 4 + 3


def test_the_page_of_a_run_that_has_only_begun_says_what_is_not_known(begun: Path) -> None:
    page = write_report(begun).read_text()
    assert "Nobody has labelled yet." in page
    assert "There is nothing to compare yet." in page
    assert '<b><span class="unknown">not known</span></b><span>s in all</span>' in page
    assert '<td>wall_s</td><td><span class="unknown">the run has not ended</span></td>' in page


def test_samples_stand_beside_each_other_with_their_gold(finished: Path) -> None:
    base = Sample(prompt="the soup was", text="cold", gold=-0.5)
    final = Sample(prompt="the room was", text="warm", gold=1.25)
    page = render_page(summarize(read_run(finished)), [], [base], [final, final])
    _, _, rows = page.partition("<th>policy</th><th>gold</th>")
    cells = re.findall(r"<td.*?</td>", rows.partition("</table>")[0])
    assert cells == [
        '<td><span class="prompt">the soup was</span> cold</td>',
        '<td class="number">-0.50</td>',
        '<td><span class="prompt">the room was</span> warm</td>',
        '<td class="number">+1.25</td>',
    ]


def test_labelers_are_listed_with_what_is_known_of_them(finished: Path) -> None:
    run = read_run(finished)
    page = (finished / "report" / "index.html").read_text()
    names = [row.labeler_id for row in run.labelers]
    assert names
    for row in run.labelers:
        cells = f'<td>{row.labeler_id}</td><td>active</td><td class="number">{row.labels}</td>'
        assert cells in page


def test_a_pulled_cord_is_a_lane_of_its_own(finished: Path) -> None:
    run = read_run(finished)
    began = run.state["started_at"]
    events = [(began + 5, "pull"), (began + 9, "release"), (began + 20, "pull")]
    cord = tuple(CordRecord(action=a, actor="ann", reason="", at=at) for at, a in events)
    *others, lane = time_lanes(replace(run, cord=cord))
    assert (lane.name, lane.busy) == ("cord pulled", None)
    end = max(stop for other in others for _, stop, _ in other.slices)
    assert lane.slices == ((began + 5, began + 9, 1.0), (began + 20, end, 1.0))
    assert summarize(replace(run, cord=cord))["cord_pulls"] == 2


def test_a_reward_starts_with_the_first_step_on_it_and_of_a_refit_that_caught_up_the_update_counts(
    finished: Path,
) -> None:
    run = read_run(finished)
    starts = run.reward_starts
    used = sorted({policy.reward_version for policy in run.policies})
    first = [
        min(policy.episodes for policy in run.policies if policy.reward_version == version)
        for version in used
    ]
    refits = {reward.version for reward in run.rewards if reward.kind == "refit"}
    assert [start.episodes for start in starts] == first
    assert [start.is_refit for start in starts] == [version in refits for version in used]

    last = max(refits & set(used))
    rewards = tuple(
        replace(reward, served_at=None) if reward.version == last else reward
        for reward in run.rewards
    )
    caught_up = replace(run, rewards=rewards).reward_starts
    assert caught_up[used.index(last)].is_refit is False
    assert caught_up[used.index(last + 1)].is_refit is True


def test_a_handful_of_new_labels_is_judged_with_those_before_it() -> None:
    judged = [(2, 4, 1.0), (3, 36, 0.5), (4, 60, 0.5), (5, 20, 0.25)]
    rows = [
        {
            "reward_model/version": version,
            "reward_model/validation_accuracy": rate,
            "reward_model/validation_labels": count,
        }
        for version, count, rate in judged
    ]
    # One that asked nobody new, and one of before their number was said.
    rows += [{"reward_model/version": 6}]
    rows += [{"reward_model/version": 7, "reward_model/validation_accuracy": 1.0}]
    pools = pooled_accuracies(rows, "")
    # Each stands where the version stood that was asked; the fourth leaves out the first four.
    assert [pool.version for pool in pools] == [1, 2, 3, 4]
    rates = [1.0, 22 / 40, 52 / 100, 53 / 116]
    assert [pool.rate for pool in pools] == pytest.approx(rates)
    assert [(p.low, p.high) for p in pools] == [
        wilson_bounds(rate * count, count)
        for rate, count in zip(rates, (4, 40, 100, 116), strict=True)
    ]
    assert pooled_accuracies(rows, "_current_policy") == []


def test_pictures_have_a_reasonable_size(finished: Path) -> None:
    for name, _, _ in PICTURES:
        content = (finished / "report" / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        assert width > 1000
        assert 300 < height < 1000


def test_a_run_that_goes_on_can_be_read_beside_its_ledgers_owner(begun: Path) -> None:
    owner = SqlLedger.open(begun / "ledger.sqlite", "begun")
    query = make_query("q-1")
    owner.write([query, make_assignment(query, "ada", 1.0), make_label(query, "ada", 2, 5.0)])
    run = read_run(begun)
    owner.close()
    assert run.label_side.board.queries == {"q-1": query}
    assert [label.choice for label in run.labels] == ["q-1-2"]


def test_a_folder_without_a_run_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="holds no run"):
        write_report(tmp_path)


def test_records_of_another_version_are_named(begun: Path) -> None:
    (begun / "recordings" / "rewards.jsonl").write_text('{"version": 1}\n')
    with pytest.raises(InputError, match=r"rewards\.jsonl does not hold RewardRecords"):
        read_run(begun)
