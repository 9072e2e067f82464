"""A labeler from outside: knows a run's folder, its address and its token, and speaks only HTTP."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx

from cluster.run_folder import RunFolder
from tests.support.patience import PATIENCE_S

WAIT_S = 1.0


def open_client(folder: Path, labeler: str) -> httpx.Client:
    """Return a client of the labelling API, with the token that the run has left for a labeler."""
    run = RunFolder(folder)
    token = (run.tokens / labeler).read_text().strip()
    return httpx.Client(
        base_url=run.read_state()["url"],
        headers={"Authorization": f"Bearer {token}"},
        timeout=PATIENCE_S,
        trust_env=False,
    )


class OutsideLabeler(threading.Thread):
    """Answers every task, in a thread of its own, until the run is closed or told to stop.

    Args:
        folder: The run's, in state "running".
        labeler: Whose token to take.
    """

    def __init__(self, folder: Path, labeler: str = "me") -> None:
        super().__init__(daemon=True)
        self._client = open_client(folder, labeler)
        self._over = threading.Event()
        self.acknowledged: list[str] = []
        """Event ids of the labels answered with 200."""
        self.refusals: list[str] = []
        """Answers that blame the labeler."""

    def run(self) -> None:
        """Label until there is nothing more to label."""
        with self._client:
            while not self._over.is_set():
                try:
                    self._label_one()
                except httpx.TransportError:
                    return  # the run has ended

    def stop(self) -> None:
        """Stop after the present task."""
        self._over.set()
        self.join()

    def _label_one(self) -> None:
        response = self._client.get("/api/v1/tasks/next", params={"wait_s": WAIT_S})
        if response.status_code == httpx.codes.NO_CONTENT:
            return
        if self._is_good(response):
            answer = self._client.post("/api/v1/labels", json=choose_longest(response.json()))
            if self._is_good(answer):
                self.acknowledged.append(answer.json()["event_id"])

    def _is_good(self, response: httpx.Response) -> bool:
        if response.is_client_error:
            self.refusals.append(response.text)
        if not response.is_success:  # also what a server says that is about to end
            self._over.wait(WAIT_S)
        return response.is_success


def choose_longest(task: dict[str, Any]) -> dict[str, Any]:
    """Return the label that prefers the longest response."""
    longest = max(task["candidates"], key=lambda candidate: len(candidate["text"]))
    return {
        "assignment_id": task["assignment_id"],
        "run_id": task["run_id"],
        "outcome": "choice",
        "choice": longest["candidate_id"],
    }
