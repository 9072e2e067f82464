"""Breaks a part in every process of a run: Python imports this at its start, before all else.

It does so because this folder is on the PYTHONPATH that the benchmark starts a run with; without
the variable nothing happens.
"""

import os

if os.environ.get("ANDON_INJECTION"):
    from benchmarks.guard_injections.breaks import install

    install(os.environ["ANDON_INJECTION"])
