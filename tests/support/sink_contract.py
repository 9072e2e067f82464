"""What every metric sink promises, the fake included."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from protocol.ports import MetricSink
from tests.support.contract import Contract

ROWS = (
    {"time/wall_s": 1.0, "policy/step": 0, "policy/loss": 0.5, "kl/reference_mean": 0.0},
    {"time/wall_s": 2.0, "reward_model/version": 1, "reward_model/loss": 1.25},
    {"time/wall_s": 3.0, "policy/step": 1, "policy/loss": 0.25, "kl/reference_mean": 0.75},
    {"time/wall_s": 4.0, "throughput/episodes_per_s": 58.0},
)


def exercise(sink: MetricSink) -> None:
    """Write rows of several axes, an alert and a summary, and close."""
    for row in ROWS:
        sink.write(row)
    sink.alert("line stopped", "the KL is above three times its target")
    sink.summarize({"episodes": 256, "gold_final_mean": None})
    sink.close()


class MetricSinkContract(Contract):
    """Subclasses give a `sink`."""

    def test_takes_rows_of_every_axis_an_alert_and_a_summary(self, sink: MetricSink) -> None:
        exercise(sink)

    def test_closing_twice_is_allowed(self, sink: MetricSink) -> None:
        sink.write(ROWS[0])
        sink.close()
        sink.close()


class KeepingSinkContract(MetricSinkContract):
    """And those from which the rows can be had again once they are closed."""

    @abstractmethod
    def kept(self, sink: MetricSink) -> Sequence[Mapping[str, object]]:
        """Return them."""

    def test_keeps_every_row_in_order(self, sink: MetricSink) -> None:
        exercise(sink)
        assert list(self.kept(sink)) == list(ROWS)
