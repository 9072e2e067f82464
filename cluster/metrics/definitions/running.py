"""Metrics of the run as a set of processes, drawn against time."""

from __future__ import annotations

from cluster.metrics.definitions.section import WALL_S, section

THROUGHPUT = section(
    "throughput",
    WALL_S,
    "each second, once the actors were looked at since the first step began",
    "All count from the moment the first PPO step began; before it everybody waits for labels. The "
    "running time is what has passed since then, less the time the learner stood at the pulled "
    "cord, and of a run that was resumed the time until its loops ran again. The report's picture "
    "of the time is made from the same records by the same functions.",
    {
        "episodes_per_s": ("episodes/s", "Episodes trained, by the running time."),
        "learner_idle": (
            "1",
            "Running time in which the learner neither took a PPO step nor rolled back, of the "
            "running time: it waited for labels, rollouts, scores or a reward to be judged.",
        ),
        "actor_idle": (
            "1",
            "Mean over the actors of their running time without a request in flight, of that "
            "time: from the last look at them before the first step on.",
        ),
        "weight_sync_s": ("s", "Spent having all actors load and prove new weights."),
        "generation_s": (
            "s",
            "Actors' time with a request in flight, of episode or candidate, summed over them.",
        ),
        "training_s": ("s", "Learner's time in PPO steps."),
        "scoring_s": (
            "s",
            "Learner's wait while a batch is scored again, to be of one reward version.",
        ),
    },
)

CORD = section(
    "cord",
    WALL_S,
    "each second while the cord is pulled, and once when it is released",
    "",
    {
        "is_pulled": ("1", "1 while the cord is pulled, 0 once it is released."),
        "stopped_s": (
            "s",
            "Time the learner has stood at the pulled cord since the run began.",
        ),
        "guard_trips": (
            "trips",
            "How often a guard has pulled the cord since the run began.",
            "each time one does",
        ),
    },
)

SYSTEM = section(
    "system",
    WALL_S,
    "each second",
    "",
    {
        "restarts": (
            "restarts",
            "Parts of the run that died and were started again, so far: each time one, also where "
            "several processes are one part. `recordings/restarts.jsonl` names them.",
        ),
        "rss_bytes": (
            "bytes",
            "Proportional set size of the run's processes on the driver's node, summed: pages that "
            "several share count once.",
        ),
        "disk_free_bytes": ("bytes", "Left where the run folder lies."),
        "ledger_commit_p95_s": (
            "s",
            "95th percentile of the time that recent commits of the ledger took; 0 before the "
            "first.",
        ),
    },
)

SECTIONS = (THROUGHPUT, CORD, SYSTEM)
