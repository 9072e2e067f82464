from __future__ import annotations

from label_queue.figures.coverage import Coverage, coverage
from tests.support.synthetic_run import make_query


def test_coverage_is_learned_over_received_after_the_first_refit() -> None:
    queries = [
        make_query("late", created_at=30.0, labels_before=40, learned_labels=30),
        make_query("early", created_at=5.0, labels_before=10, learned_labels=0),
        make_query("next", created_at=20.0, labels_before=20, learned_labels=20),
    ]
    assert coverage(queries, since=10.0) == [
        Coverage(created_at=20.0, share=1.0),
        Coverage(created_at=30.0, share=0.75),
    ]
