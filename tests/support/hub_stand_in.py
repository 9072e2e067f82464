"""The Hugging Face hub's client, over folders of this machine: a model, and a dataset's commit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.utils._paths import filter_repo_objects

from tests.support.tiny_model import save_tiny_model


class HubStandIn:
    """Gives the files that are asked for, as `snapshot_download` does: into a folder a commit.

    Args:
        root: Where repository and cache lie.
        monkeypatch: Puts it in the client's place.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._repository, self._cache = root / "repository", root / "snapshots"
        self._refs: dict[str, str] = {}
        self.dataset_main = "d" * 40
        monkeypatch.setattr("huggingface_hub.snapshot_download", self._download)
        monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", self._dataset_info)

    def commit(self, sha: str, *, main: bool = False, branch: str = "") -> Path:
        """Have a model at a commit, also in its maker's own form; return where it will lie."""
        folder = save_tiny_model(self._repository / sha)
        for name in ("consolidated.safetensors", "params.json", "model.bin"):
            (folder / name).write_bytes(b"{}")
        self._refs |= {sha: sha} | ({"main": sha} if main else {})
        if branch:
            self._refs[branch] = sha
        return self._cache / sha

    def forget(self, sha: str) -> None:
        """Have a commit no more."""
        del self._refs[sha]
        shutil.rmtree(self._cache / sha)

    def given(self, folder: Path) -> set[str]:
        """Return the names of the files that were asked for."""
        return {file.name for file in folder.iterdir()}

    def _download(
        self,
        _: str,
        *,
        revision: str | None,
        allow_patterns: Sequence[str],
        ignore_patterns: Sequence[str],
    ) -> str:
        sha = self._refs.get(revision or "main")
        if sha is None:
            raise RevisionNotFoundError(f"no {revision}", response=SimpleNamespace(headers={}))  # type: ignore[arg-type]
        source, target = self._repository / sha, self._cache / sha
        target.mkdir(parents=True, exist_ok=True)
        names = [file.name for file in source.iterdir()]
        wanted = filter_repo_objects(
            names, allow_patterns=list(allow_patterns), ignore_patterns=list(ignore_patterns)
        )
        for name in wanted:
            shutil.copyfile(source / name, target / name)
        return str(target)

    def _dataset_info(self, _: str, *, revision: str | None) -> SimpleNamespace:
        return SimpleNamespace(sha=revision or self.dataset_main)
