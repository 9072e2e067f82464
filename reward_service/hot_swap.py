"""The one live reward model of a process: replaced in one reference, never edited."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import torch

from protocol.errors import BundleCorrupt, MemoryShort, NotFinite, ScoringFailed, VersionError
from protocol.fits import RewardVersion
from protocol.folders import FoldersHere
from protocol.messages import Score
from protocol.ports import FolderStore
from reward_service.arithmetic import put_weights_in
from reward_service.batching import (
    check_sequences,
    raw_scores_and_marks,
    score_sequences,
    scores_of,
)
from reward_service.buckets import BatchLimits
from reward_service.bundle import Bundle, load_bundle


class LiveModel:
    """Scores with the newest proven version, and takes a newer one while scoring goes on.

    Every batch takes the reference once, so its scores are all of one version, and a batch under
    way when a swap comes finishes on the model it began with. Versions that adapt the same model
    have its weights in common: of those there is never a second copy.
    """

    def __init__(
        self,
        validation: Sequence[Sequence[int]],
        limits: BatchLimits,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        store: FolderStore | None = None,
    ) -> None:
        """Start with no version.

        Args:
            validation: Pinned token sequences that a new version must score finitely.
            limits: Of one forward pass.
            device: Where models are put; the CPU by default.
            dtype: Of their weights; gain and bias stay in float32.
            store: Where bundles are fetched from; by default they are on this node.
        """
        self._validation = validation
        self._limits = limits
        self._device = device or torch.device("cpu")
        self._dtype = dtype
        self._store = FoldersHere() if store is None else store
        self._bundle: Bundle | None = None
        self._swapping = threading.Lock()

    @property
    def version(self) -> RewardVersion | None:
        """The version being served, None before the first."""
        return self._bundle.version if self._bundle else None

    def swap(self, announced: RewardVersion) -> None:
        """Load and prove a version beside the live one, then make it the live one.

        Blocks while loading; scoring goes on in other threads. Swapping to the version already
        live does nothing. Whatever is raised, the old version stays live.

        Raises:
            VersionError: Older than the live version, or the same number with other weights.
            MissingError: There is no bundle at its path, or no model that its adapters belong to.
            BundleCorrupt: The bundle is not what was announced.
            NotFinite: It scores a validation sequence as NaN or infinity.
            MemoryShort: The device has no room for it beside the live one.
        """
        with self._swapping:
            if self._bundle is None or _is_newer(announced, self._bundle.version):
                self._bundle = self._proved(announced)

    def go_back(self, announced: RewardVersion) -> None:
        """Take an older version in the place of the live one, which was withdrawn.

        As `swap` otherwise.
        """
        with self._swapping:
            if self._bundle is None or announced.version != self._bundle.version.version:
                self._bundle = self._proved(announced)

    def check(self, sequences: Sequence[Sequence[int]]) -> None:
        """Refuse sequences the live model cannot score, before they join a batch with others.

        Raises:
            InputError: As `batching.check_sequences`.
            ScoringFailed: No version is live yet.
        """
        check_sequences(self._live().model, sequences)

    def score(self, requests: Sequence[Sequence[Sequence[int]]]) -> list[list[Score] | NotFinite]:
        """Score the sequences of several requests in shared forward passes.

        Blocks for the forward passes. All answers come from one version.

        Returns:
            For each request its scores in order, or what made them unusable: one request's NaN
            does not fail another's.

        Raises:
            InputError: A sequence that `check` would have refused.
            ScoringFailed: No version is live yet.
        """
        bundle = self._live()
        sequences = [sequence for request in requests for sequence in request]
        raw, marks = raw_scores_and_marks(bundle.model, sequences, self._limits)

        def scores(rows: slice) -> list[Score] | NotFinite:
            own = None if marks is None else marks[rows]
            try:
                return scores_of(bundle.model, raw[rows], bundle.version.version, own)
            except NotFinite as error:
                return error

        ends = list(accumulate(len(request) for request in requests))
        each = [slice(end - len(request), end) for request, end in zip(requests, ends, strict=True)]
        of_all = scores(slice(None))  # at once: many small requests would each cost as much
        if isinstance(of_all, NotFinite):
            return [scores(rows) for rows in each]
        return [of_all[rows] for rows in each]

    def _proved(self, announced: RewardVersion) -> Bundle:
        folder = self._store.fetch(Path(announced.path))
        bundle = load_bundle(folder, beside=self._bundle, store=self._store)
        found = bundle.version
        if (found.version, found.sha256) != (announced.version, announced.sha256):
            raise BundleCorrupt(
                f"{announced.path} holds reward version {found.version} ({found.sha256}), "
                f"announced was {announced.version} ({announced.sha256})"
            )
        with self._room_for(announced.version):
            put_weights_in(bundle.model, self._dtype)
            bundle.model.to(self._device)
            score_sequences(bundle.model, self._validation, announced.version, self._limits)
        # Others are told of it by the name that all nodes know.
        return replace(bundle, version=replace(found, path=announced.path))

    @contextmanager
    def _room_for(self, version: int) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise MemoryShort(
                f"a reward replica has no room on {self._device} for reward version {version} "
                'beside the one it serves: set reward_service.dtype = "bfloat16", give it a larger '
                "part of a GPU, or none (cluster.gpus_per_reward_replica)"
            ) from error

    def _live(self) -> Bundle:
        if self._bundle is None:
            raise ScoringFailed("no reward version is served yet")
        return self._bundle


def _is_newer(announced: RewardVersion, live: RewardVersion) -> bool:
    """Return False for the live version itself.

    Raises:
        VersionError: An older version, or the same number with other weights.
    """
    if announced.version > live.version:
        return True
    if (announced.version, announced.sha256) == (live.version, live.sha256):
        return False
    raise VersionError(
        f"reward version {announced.version} ({announced.sha256}) came while version "
        f"{live.version} ({live.sha256}) is live: versions only rise"
    )
