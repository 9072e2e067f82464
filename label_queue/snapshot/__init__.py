"""A checkpoint of the folds beside the ledger, so that a start need not fold all of it anew.

    ledger ──▶ every record ──▶ folds      what is true
    ledger ──▶ text, digested ─┐
                               ├▶ folds ◀── the records after it      quicker, and the same
    snapshot ──────────────────┘

It is never the truth: one that is missing, torn, of another code, of other settings or of another
ledger is passed over with a line in the log. It is written by a process of its own (`writer`), from
the ledger alone, so that nothing of it depends on what a live queue has in hand, and the queue
never waits for it.
"""
