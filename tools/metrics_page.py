"""Write `docs/METRICS.md` from the catalogue of metrics; with `--check`, only compare.

Run by Andon's own Python, in the checkout: `.venv/bin/python tools/metrics_page.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "METRICS.md"


def main(arguments: list[str]) -> int:
    """Return the exit status: 1 where `--check` finds another page than there should be."""
    sys.path.insert(0, str(ROOT))
    from cluster.metrics.page import metrics_page

    wanted = metrics_page()
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != wanted:
        sys.stderr.write("docs/METRICS.md is out of date: run tools/metrics_page.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
