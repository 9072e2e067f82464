"""What every metric sink must do, the fake included."""

from __future__ import annotations

from protocol.ports import MetricSink

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
