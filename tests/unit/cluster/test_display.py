from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from rich.console import Console

from cluster.watching.display import (
    PLAIN_INTERVAL_S,
    RunDisplay,
    console_of,
    plain_line,
    render,
)

SNAPSHOT: Mapping[str, float | int | str] = {
    "phase": "training",
    "elapsed_s": 185.4,
    "episodes_total": 7680,
    "policy/episodes": 1280,
    "policy/version": 10,
    "reward/score_mean": 0.5,
    "reward/gold_mean": -0.25,
    "kl/reference_mean": 6.25,
    "kl/target": 8.0,
    "labels/accepted": 300,
    "labels/scheduled": 296,
    "reward_model/version": 7,
    "throughput/learner_idle": 0.25,
}
WIDTH = 100


@pytest.fixture(autouse=True)
def _can_be_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


class Terminal:
    def __init__(self, *, is_terminal: bool) -> None:
        self.now = 0.0
        self.out = io.StringIO()
        console = Console(file=self.out, force_terminal=is_terminal, width=WIDTH, color_system=None)
        self.display = RunDisplay(console, "runs/demo-1", clock=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


def test_plain_line_says_what_is_known() -> None:
    assert plain_line(SNAPSHOT) == (
        "[3:05] training · episodes 1280/7680 · policy v10 · score +0.50 · gold -0.25"
        " · KL 6.25 nats · KL target 8.00 nats · labels 300 · wanted 296 by now · reward v7"
        " · learner 25% idle"
    )


def test_plain_line_of_a_run_that_only_begins() -> None:
    assert plain_line({"phase": "starting", "elapsed_s": 3}) == "[0:03] starting"


def test_a_terminal_that_draws_nothing_over_has_plain_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(is_terminal=True)
    with terminal.display:
        terminal.display.show({"phase": "training"})
        assert terminal.lines == ["[0:00] training"]


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "NO_COLOR", "CI"])
def test_a_pipe_has_plain_lines_whatever_is_said_of_colours(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    out = io.StringIO()
    with RunDisplay(console_of(out), "runs/demo-1") as display:
        display.show({"phase": "training"})
    assert out.getvalue().splitlines() == ["[0:00] training"]


def test_panel_shows_both_loops_and_the_note() -> None:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(render({**SNAPSHOT, "note": "label at [link]"}, "runs/[demo]-1"))
    shown = capture.get()
    for part in ("runs/[demo]-1", "1,280 of 7,680 episodes", "6.25 nats", "label at [link]"):
        assert part in shown


def test_plain_lines_are_paced_but_a_new_phase_shows_at_once() -> None:
    terminal = Terminal(is_terminal=False)
    with terminal.display as display:
        for now, phase in (
            (0.0, "starting"),
            (1.0, "starting"),
            (2.0, "training"),
            (2.0 + PLAIN_INTERVAL_S, "training"),
        ):
            terminal.now = now
            display.show({"phase": phase, "elapsed_s": now})
    assert terminal.lines == ["[0:00] starting", "[0:02] training", "[0:12] training"]


def test_long_plain_lines_are_not_broken() -> None:
    terminal = Terminal(is_terminal=False)
    terminal.display.show(SNAPSHOT)
    assert terminal.lines == [plain_line(SNAPSHOT)]
    assert len(terminal.lines[0]) > WIDTH


def test_a_terminal_gets_the_live_panel() -> None:
    terminal = Terminal(is_terminal=True)
    with terminal.display as display:
        display.show(SNAPSHOT)
    assert "runs/demo-1" in terminal.out.getvalue()


def test_an_alarm_comes_before_all_else() -> None:
    terminal = Terminal(is_terminal=True)
    alarm = "cord pulled by ann: it shouts\nto go on: andon cord release runs/demo-1"
    with terminal.display:
        terminal.display.show({**SNAPSHOT, "alarm": alarm})
    shown = terminal.out.getvalue()
    assert "cord pulled by ann: it shouts" in shown
    assert shown.index("andon cord release runs/demo-1") < shown.index("training")
    assert "cord pulled by ann: it shouts · to go on" in plain_line({**SNAPSHOT, "alarm": alarm})
