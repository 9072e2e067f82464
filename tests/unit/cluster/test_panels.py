"""What the page of figures shows of the catalogue, and which runs are drawn as one."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.metrics.grouping import group_of
from cluster.metrics.names import CATALOGUE, SECTIONS
from cluster.metrics.panels import CORRELATIONS, OVERVIEW, SHARES, Panel, section_panels

WRITTEN = {name for name, metric in CATALOGUE.items() if metric.is_written}


def test_the_overview_is_a_dozen_pictures_of_metrics_that_are_written() -> None:
    assert len(OVERVIEW) == 12
    for panel in OVERVIEW:
        assert WRITTEN.issuperset(panel.names)
        assert panel.axis in CATALOGUE
        assert panel.unit
    assert len({panel.title for panel in OVERVIEW}) == 12


def test_each_metric_of_a_section_is_in_one_of_its_panels() -> None:
    for section in SECTIONS:
        shown = [name for panel in section_panels(section) for name in panel.names]
        assert shown.count(shown[0]) == 1
        assert sorted(shown) == sorted(m.name for m in section.metrics if m.is_written)
        assert all(panel.axis == section.axis for panel in section_panels(section))


def test_figures_of_one_quantity_share_a_panel_but_not_those_of_two_units() -> None:
    panels = {panel.title: panel for section in SECTIONS for panel in section_panels(section)}
    assert panels["reference"].names == (
        "kl/reference_mean",
        "kl/reference_max",
        "kl/reference_std",
    )
    assert panels["latency"].names == ("labels/latency_p50", "labels/latency_p95")
    for panel in panels.values():
        assert len({CATALOGUE[name].unit for name in panel.names}) == 1


def test_metrics_with_a_range_are_plain_numbers_of_the_catalogue() -> None:
    assert SHARES.isdisjoint(CORRELATIONS)
    for name in SHARES | CORRELATIONS:
        assert CATALOGUE[name].unit == "1", name
        assert CATALOGUE[name].is_written, name
    ranges = {
        name: (panel.low, panel.high)
        for section in SECTIONS
        for panel in section_panels(section)
        for name in panel.names
    }
    assert ranges["online/coverage"] == (0.0, 1.0)
    assert ranges["labels/agreement_alpha"] == (-1.0, 1.0)
    assert ranges["policy/loss"] == (None, None)


def test_a_panel_of_two_axes_has_none() -> None:
    with pytest.raises(ValueError, match="too many values"):
        _ = Panel(title="both", names=("policy/loss", "labels/received")).axis


def config(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "run": {"name": "a", "seed": 1, "mode": "online"},
        "ppo": {"lr": 1e-4},
        "reward_fit": {"seed": 1, "epochs": 1},
        "labelers": [{"name": "ann", "seed": 7, "beta": 1.0}],
        "cluster": {"http_port": 8000},
        "metrics": {"wandb": "offline"},
    }
    return {**plain, **changes}


def test_seeds_names_and_places_make_no_other_group() -> None:
    assert group_of(config()) == group_of(
        config(
            run={"name": "b", "seed": 2, "mode": "online"},
            reward_fit={"seed": 5, "epochs": 1},
            labelers=[{"name": "ann", "seed": 8, "beta": 1.0}],
            cluster={"http_port": 0},
            metrics={"wandb": "online"},
        )
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"ppo": {"lr": 2e-4}},
        {"run": {"name": "a", "seed": 1, "mode": "batched"}},
        {"labelers": []},
        {"labelers": [{"name": "ann", "seed": 7, "beta": 2.0}]},
    ],
)
def test_what_makes_another_experiment_makes_another_group(changes: dict[str, Any]) -> None:
    assert group_of(config()) != group_of(config(**changes))
