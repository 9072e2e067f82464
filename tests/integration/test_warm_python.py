"""Programs that the tests fork from a process with torch: each is as if Python had started it."""

from __future__ import annotations

from pathlib import Path

from tests.support.warm_python import WarmPython


def test_each_program_has_its_own_folder_output_and_exit_code(
    warm_pythons: tuple[WarmPython, WarmPython], tmp_path: Path
) -> None:
    python, _ = warm_pythons
    (tmp_path / "here.json").write_text("[1]")
    said = tmp_path / "said.txt"
    found = []
    for module, *arguments in (
        ("json.tool", "--compact", "here.json"),
        ("json.tool", "elsewhere.json"),
        ("cluster.cli", "no-such-command"),
        ("no_such_module",),
        ("json.tool", "--compact", "here.json"),
    ):
        python.begin(module, *arguments, folder=tmp_path, output=said)
        found.append((python.wait(), said.read_text().splitlines()[-1]))
    codes, words = zip(*found, strict=True)
    assert codes == (0, 2, 2, 1, 0)
    assert words[0] == words[-1] == "[1]"
    assert "elsewhere.json" in words[1]
    assert "no-such-command" in words[2]
    assert words[3] == "ImportError: No module named no_such_module"
