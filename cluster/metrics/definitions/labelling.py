"""Metrics of the label loop."""

from __future__ import annotations

from cluster.metrics.definitions.section import LABEL_SEQ, POLICY_STEP, section

EACH_SECOND = "each second"
ONCE_LABELLED = "each second, once there is a label"

LABELS = section(
    "labels",
    LABEL_SEQ,
    EACH_SECOND,
    "A label is one labeler's answer to one query: a choice, ranking, tie, skip, report or \"both "
    'bad". Asked queries are those of the schedule; gold and repeats, which only judge labelers, '
    "are left out wherever it says asked. Recent are the newest 500 labels, counted when first "
    "given.",
    {
        "received": (
            "labels",
            "Answers that came in: accepted, duplicate and rejected ones together.",
        ),
        "accepted": (
            "labels",
            "Labels in the ledger, whatever they say, gold and repeats included; a revision makes "
            "no new one.",
        ),
        "duplicate": (
            "labels",
            "Answers sent again, with no effect, since the queue started; those of outside tools "
            "are not counted.",
        ),
        "rejected": (
            "labels",
            "Answers refused since the queue started: invalid, of another's task or run, or "
            "different from one that stands.",
        ),
        "retracted": ("labels", "Labels taken back."),
        "tie_rate": ("1", "Ties, of the recent asked labels as they stand.", ONCE_LABELLED),
        "skip_rate": ("1", "Skips, of the same.", ONCE_LABELLED),
        "both_bad_rate": ("1", '"Both bad", of the same.', ONCE_LABELLED),
        "redrawn": (
            "responses",
            "Responses drawn for a query and set aside, being like another of it, so far.",
            "each second, once a query was drawn",
        ),
        "rate_per_min": (
            "labels/min",
            "Asked labels first given within the last minute.",
            ONCE_LABELLED,
        ),
        "counted": (
            "labels",
            'Labels that count toward l(n): those a fit would learn now. Skips, reports, "both '
            'bad", gold, repeats, and labels held or excluded are not among them.',
        ),
        "scheduled": ("labels", "l(n): labels wanted by the episode that is next."),
        "deficit": (
            "labels",
            "`labels/scheduled` less `labels/counted`, at least 0; above 0 PPO waits, unless the "
            "config has a starved run go on, or wait for half of them (`labels.when_starved`).",
        ),
        "outstanding": ("labels", "Answers asked for by open queries and not yet given."),
        "latency_p50": (
            "s",
            "Median over the recent asked labels of the time from the making of the query to the "
            "receipt of the label.",
            ONCE_LABELLED,
        ),
        "latency_p95": ("s", "95th percentile of the same.", ONCE_LABELLED),
        "agreement_alpha": (
            "1",
            "Krippendorff's α, nominal, of choices and ties on asked queries that two or more "
            "labelers answered, over the recent labels as they stand.",
            "each second, once two labelers answered one query and answers differ",
        ),
        "first_position_rate": (
            "1",
            "Choices of the candidate shown first, of the recent asked choices as they stand.",
            "each second, once there is a choice",
        ),
        "gold_accuracy": (
            "1",
            "Right answers, of all answers to gold so far, everybody's together; skips and reports "
            "are no answers.",
            "each second, once gold was answered",
        ),
        "connectors_failing": (
            "tools",
            "Outside labelling tools that do not answer now.",
            "each second, with connectors",
        ),
        "connector_failures": (
            "sweeps",
            "Readings of outside tools that failed since the label queue last started.",
            "each second, with connectors",
        ),
        "connector_stale": (
            "labels",
            "Outside answers ignored as older than what stands, since the label queue last "
            "started.",
            "each second, with connectors",
        ),
        "connector_refused": (
            "labels",
            "Outside answers of which no label can be made, since the label queue last started.",
            "each second, with connectors",
        ),
    },
)

LABELERS = section(
    "labelers",
    LABEL_SEQ,
    EACH_SECOND,
    "Labelers' states are those of the glossary's standing.",
    {
        "active": (
            "labelers",
            "Labelers who hold a task, wait for one, or gave a label in the last 5 min; judges are "
            "left out.",
        ),
        "probation": ("labelers", "Labelers on probation, whose labels are held until cleared."),
        "questioned": (
            "labelers",
            "Labelers in question, of whom much comes: drift speaks against them, their newest "
            "labels are held back, and the owner is asked.",
        ),
        "suspended": ("labelers", "Labelers suspended, whose labels are held back."),
        "doubted": (
            "labelers",
            "Labelers in doubt, who are asked more gold: their newest answers may be chance.",
        ),
        "median_gold_accuracy": (
            "1",
            "Median over the labelers with an answer to gold of the mean of Beta(8 + right, "
            "2 + wrong): their estimated accuracy, as the owner sees it.",
            "each second, once gold was answered",
        ),
        "max_share": (
            "1",
            "Labels of whoever gave most, of the recent asked labels as they stand.",
            ONCE_LABELLED,
        ),
    },
)

ONLINE = section(
    "online",
    POLICY_STEP,
    "each second, once a step was taken and there is something to tell",
    "How soon what labelers say reaches the policy they judge.",
    {
        "coverage": (
            "1",
            "Median over the queries made since the first reward version: labels that the policy "
            "of its candidates had learned, of the trainable labels received before it was made.",
        ),
        "label_to_policy_latency_p50": (
            "s",
            "Median over learned labels of the time from receipt to the first rollout sampled from "
            "a policy trained on a reward that learned the label.",
        ),
        "label_to_policy_latency_p95": ("s", "95th percentile of the same."),
        "query_policy_lag": (
            "versions",
            "Median over the newest 500 queries made of drafts: newest policy version minus that "
            "of the draft's oldest token, when the query was made.",
        ),
    },
)

SECTIONS = (LABELS, LABELERS, ONLINE)
