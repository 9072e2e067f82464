"""What CONTRIBUTING says of a module's length holds of all of them, those of the tests too."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 400
FOLDERS = (
    *("actors", "benchmarks", "cluster", "examples", "label_queue", "learners", "protocol"),
    *("reward_service", "tests", "tools"),
)


def test_no_module_is_longer_than_contributing_allows() -> None:
    modules = [module for name in FOLDERS for module in (ROOT / name).rglob("*.py")]
    lengths = {module: len(module.read_text(encoding="utf-8").splitlines()) for module in modules}
    assert len(modules) > 1000
    assert {
        str(module.relative_to(ROOT)): lines
        for module, lines in lengths.items()
        if lines > MOST_LINES
    } == {}
    assert f"at most {MOST_LINES} lines" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
