"""The artifacts of a run as they lie in its folder: described first, then given to wandb.

    lineage/ledger-412.json      the labels that a fit could learn from
    lineage/reward-3.json        a reward version, and where its bundle lies
    lineage/checkpoint-40.json   a policy version as it is trained on from, and where it lies
    lineage/policy-40.json       that version as a model, saved when the run ended, and where
    lineage/texts/9f2c….jsonl    labels with their texts, where the config lets those leave
    lineage/given.json           which of them wandb has
    lineage/wandb/               wandb's logs of the runs that made them

wandb knows an artifact by the digest of its files. So a description stays as it is once it was
given: whatever is made of it later names the same bytes, and there is no second version of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, JsonValue, ValidationError

from cluster.run_folder import write_json
from protocol.errors import InputError
from protocol.files import flush, read_text, writing
from protocol.settings import Closed

ClosedT = TypeVar("ClosedT", bound=Closed)
Kind = Literal["ledger", "reward", "checkpoint", "policy"]
GIVEN_FILE = "given.json"
TEXTS = "texts"
MEND = "only the run writes to it: put it back as it was"


class Reference(Closed):
    """A file that stays where it is."""

    path: str
    """Its place in the artifact, e.g. "rank-0000.safetensors"."""
    url: str
    """Where it lies, e.g. "file:///runs/demo-1/policy/v000040/rank-0000.safetensors"."""
    size: int = Field(ge=0)
    """Bytes."""
    sha256: str
    """In hex."""
    md5: str | None = None
    """In base64, which wandb's `download` proves a file by; None where that was not worth reading
    the file for."""


class Texts(Closed):
    """A file of labels with their texts."""

    path: str
    """Its place in the artifact, e.g. "labels/0000001.jsonl"."""
    sha256: str
    """In hex; names the file in the run's folder."""


class Artifact(Closed):
    """What wandb is told of one thing that the run made."""

    kind: Kind
    number: int = Field(ge=0)
    """Sequence number of a ledger snapshot, version of all else."""
    place: int = Field(ge=1)
    """Place in the order in which they are given: whatever it was made of comes before it."""
    uses: tuple[str, ...] = ()
    """Names of what it was made of, e.g. "reward-3"."""
    facts: dict[str, JsonValue]
    """What wandb shows beside it, and can sort by."""
    details: dict[str, JsonValue]
    """What is in its file alone."""
    references: tuple[Reference, ...] = ()
    texts: tuple[Texts, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the run, e.g. "reward-3"."""
        return f"{self.kind}-{self.number}"


class Given(Closed):
    """What wandb has of a run's artifacts."""

    wandb_id: str | None = None
    """The run's id in wandb, under which they were given; None before the first."""
    names: tuple[str, ...] = ()


class LineageFolder:
    """A run's `lineage/`. One process at a time writes to it.

    Args:
        path: The folder; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._artifacts: dict[str, Artifact] = {}

    @classmethod
    def begin(cls, path: Path) -> Self:
        """Open the folder to describe anew whatever wandb was not given.

        That the texts of labels may leave, or not, is decided by the config of today.

        Raises:
            InputError: A file is not as it was written; it is named.
            MissingError: One that wandb was given is gone.
            ResourceError: The disk refuses.
        """
        lineage = cls(path)
        given = lineage.given().names
        kept = {name: lineage._read(name) for name in given}
        used = {name for artifact in kept.values() for name in artifact.uses} - set(given)
        kept |= {name: lineage._read(name) for name in used}
        lineage._artifacts = dict(sorted(kept.items(), key=lambda each: each[1].place))
        for file in path.glob("*-*.json"):
            if file.stem not in kept:
                with writing(file):
                    file.unlink()
        return lineage

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """All that are described, in the order of their places."""
        return tuple(self._artifacts.values())

    def __getitem__(self, name: str) -> Artifact:
        """Return an artifact by its name."""
        return self._artifacts[name]

    def __contains__(self, name: str) -> bool:
        """Whether an artifact is described."""
        return name in self._artifacts

    def describe(
        self,
        kind: Kind,
        number: int,
        *,
        uses: Iterable[str] = (),
        facts: dict[str, JsonValue],
        details: dict[str, JsonValue] | None = None,
        references: Iterable[Reference] = (),
        texts: Iterable[Texts] = (),
    ) -> None:
        """Write an artifact down, after all that it uses. Raises ResourceError."""
        artifact = Artifact(
            kind=kind,
            number=number,
            place=1 + max((each.place for each in self.artifacts), default=0),
            uses=tuple(uses),
            facts=facts,
            details=details or {},
            references=tuple(references),
            texts=tuple(texts),
        )
        assert artifact.name not in self, f"{artifact.name} is described"
        assert all(name in self for name in artifact.uses), f"{artifact.uses} come first"
        write_json(self.file(artifact.name), artifact.model_dump(mode="json"))
        self._artifacts[artifact.name] = artifact

    def write_texts(self, path: str, content: bytes) -> Texts:
        """Keep a file of labels with their texts; the same content again is the same file.

        Args:
            path: Its place in the artifact.
            content: JSON lines.

        Raises:
            ResourceError: The disk refuses.
        """
        texts = Texts(path=path, sha256=hashlib.sha256(content).hexdigest())
        file = self.texts_file(texts)
        if not file.exists():
            draft = file.with_name(f".draft-{file.name}")
            with writing(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                draft.write_bytes(content)
                flush(draft)
                draft.rename(file)
        return texts

    def file(self, name: str) -> Path:
        """Return where an artifact is described."""
        return self.path / f"{name}.json"

    def texts_file(self, texts: Texts) -> Path:
        """Return where a file of labels lies."""
        return self.path / TEXTS / f"{texts.sha256}.jsonl"

    def given(self) -> Given:
        """Return what wandb has. Raises InputError where the file is garbled."""
        path = self.path / GIVEN_FILE
        return _parsed(path, Given) if path.exists() else Given()

    def note(self, given: Given) -> None:
        """Write down what wandb has. Raises ResourceError where the disk refuses."""
        write_json(self.path / GIVEN_FILE, given.model_dump(mode="json"))

    def _read(self, name: str) -> Artifact:
        return _parsed(self.file(name), Artifact)


def _parsed(path: Path, kind: type[ClosedT]) -> ClosedT:
    text = read_text(path, "what wandb was given", MEND)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = "".join(f"{part}: " for part in problem["loc"])  # or the message names it
        raise InputError(f"{path}: {field}{problem['msg']}; {MEND}") from error
