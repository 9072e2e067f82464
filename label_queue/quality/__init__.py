"""How well each labeler labels: estimators that are pure functions of the ledger."""
