"""A simulated labeler at work: ask for a task, read, answer, over the HTTP API and nothing else.

The labeler ends when the run is closed or when it is told to stop. It gives up, which is no such
end, when the server does not answer, or fails, for longer than its patience. An answer on its way
is always brought to its end, so what is counted as acknowledged is what the server said is on disk.

One that was killed goes on with the count of its report when it is started again. Its last answer
may be missing there, acknowledged or still on its way: so it asks the server how many are on disk.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from pydantic import TypeAdapter
from pydantic_core import to_json
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from label_queue.http_client import BUSY, not_now
from label_queue.labeling.run_info import RunInfo
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.simulated.choice import Verdict, decide, seconds_spent
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.port import Gold
from label_queue.simulated.marking import spans_of
from protocol.chat import in_one_text
from protocol.errors import AndonError, Unauthenticated
from protocol.files import is_full
from protocol.logs import logger_of
from protocol.retrying import Backoff, NotNow

_log = logger_of("labeler")

RUN_INFO = TypeAdapter(RunInfo)
TASK = TypeAdapter(Task)
ANSWER = TypeAdapter(LabelAnswer)
"""Reads the API's answer to a label from JSON."""

NOT_SERVED = 404
"""Status by which a proxy answers a GET whose service is not up yet, or no more. To a POST it is a
refusal."""
FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 5.0
LONGEST_TASK_WAIT_S = 20.0
ANSWER_TIMEOUT_S = 30.0
LAST_PATIENCE_S = 5.0
"""How long an answer on its way is still tried once the labeler is told to stop."""


class RunOver(AndonError):
    """The run wants no more labels, or the labeler was told to stop: an end like any other."""


class GaveUp(AndonError):
    """The server did not answer, or failed, for longer than the labeler's patience."""


@dataclass(slots=True, kw_only=True)
class WorkReport:
    """What a labeler did so far."""

    acknowledged: int = 0
    """Distinct answers that the server said are on disk, skips among them."""
    skipped: int = 0
    """Acknowledged answers that passed on the task."""
    refused: int = 0
    """Answers the server turned down."""
    retried: int = 0
    """Requests sent again."""

    @classmethod
    def read(cls, path: Path) -> WorkReport | None:
        """Return the report of whoever worked under this name before; None where there is none."""
        return cls(**json.loads(path.read_bytes())) if path.exists() else None

    def write(self, path: Path) -> None:
        """Replace the file at `path` by this report, so that a reader never sees half of it."""
        draft = path.with_suffix(path.suffix + ".tmp")
        try:
            draft.write_text(json.dumps(asdict(self)) + "\n")
            draft.replace(path)
        except OSError as error:
            if not is_full(error):
                raise
            # The next report says it too; the log may lie on the same disk.


def answer_to(
    task: Task, profile: LabelerProfile, gold: Gold, num_given: int, rng: random.Random
) -> LabelSubmission:
    """Read a task and form the answer to it."""
    prompt = in_one_text(task.prompt.text, task.prompt.messages)
    utilities = [gold.score(prompt, candidate.text, profile.gamma) for candidate in task.candidates]
    verdict: Verdict = decide(utilities, task.kind, profile, num_given, rng)
    names = tuple(task.candidates[index].candidate_id for index in verdict.order)
    marks = profile.marks > 0 and verdict.outcome != "skip"
    spans = spans_of(task.candidates, prompt, profile, gold, num_given) if marks else ()
    return LabelSubmission(
        assignment_id=task.assignment_id,
        run_id=task.run_id,
        outcome=verdict.outcome,
        choice=names[0] if verdict.outcome == "choice" else None,
        ranking=names if verdict.outcome == "ranking" else None,
        spans=spans or None,
        active_ms=round(1000 * seconds_spent(profile, rng)),
    )


class SimulatedLabeler:
    """One labeler's working day."""

    def __init__(
        self,
        *,
        http: httpx.AsyncClient,
        profile: LabelerProfile,
        gold: Gold,
        report_path: Path,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience_s: float = 60.0,
    ) -> None:
        """Take a client whose base URL and Authorization header are set.

        Args:
            http: Where the API is.
            profile: How to judge.
            gold: What by.
            report_path: Where the counts are kept up to date.
            sleep: Waits some seconds.
            patience_s: How long, counted in waits, to try a request that fails.
        """
        self.report = WorkReport()
        self.gave_up: str | None = None
        """Why the labeler ended before its run did, if it did."""
        self._http = http
        self._profile = profile
        self._gold = gold
        self._report_path = report_path
        self._sleep = sleep
        self._patience_s = patience_s
        self._judgement = random.Random(profile.seed)
        self._stop = asyncio.Event()
        self._is_full = False
        self._backoff = Backoff(
            first_s=FIRST_RETRY_S,
            longest_s=LONGEST_RETRY_S,
            rng=random.Random(f"jitter-{profile.seed}"),  # retries must not move judgement
        )

    async def work(self, stop: asyncio.Event) -> None:
        """Label until the run is over or `stop` is set.

        Raises:
            Unauthenticated: The server does not know the token.
        """
        self._stop = stop
        before = WorkReport.read(self._report_path)
        if before is None:
            self.report.write(self._report_path)
        stopped = asyncio.create_task(stop.wait())
        try:
            if before is not None:
                await self._go_on(before)
            while not stop.is_set():
                if (answer := await self._prepared_unless(stopped)) is not None:
                    await self._submit(answer)
        except RunOver as over:
            _log.info("labeler_done", why=str(over), **asdict(self.report))
        except GaveUp as trouble:
            _log.error("labeler_gave_up", why=str(trouble), **asdict(self.report))
            self.gave_up = str(trouble)
        finally:
            await _cancel(stopped)
            self.report.write(self._report_path)

    async def _go_on(self, before: WorkReport) -> None:
        """Take up the work of a process that was killed."""
        self.report = before
        response = await self._request("GET", "/api/v1/me")
        if response.is_success:
            # More than the report knows of, by an answer that was on its way; never fewer, or one
            # that was acknowledged is lost, and that must show.
            before.acknowledged = max(before.acknowledged, int(response.json()["labels"]))
            before.write(self._report_path)
        # What it drew before must not be drawn again: its mistakes would come in the same order.
        self._judgement = random.Random(f"{self._profile.seed} after {before.acknowledged}")

    async def _prepared_unless(self, stopped: asyncio.Task[bool]) -> LabelSubmission | None:
        """Return what `_prepare` does; None where the labeler is stopped before it is done."""
        prepared = asyncio.create_task(self._prepare())
        try:
            await asyncio.wait({prepared, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return prepared.result() if prepared.done() else None
        finally:
            await _cancel(prepared)

    async def _prepare(self) -> LabelSubmission | None:
        """Claim a task, spend the time it takes, and return the answer; None if there is none."""
        response = await self._request(
            "GET", "/api/v1/tasks/next", params={"wait_s": LONGEST_TASK_WAIT_S}
        )
        if response.status_code == httpx.codes.NO_CONTENT:
            run = RUN_INFO.validate_json((await self._request("GET", "/api/v1/run")).content)
            if run.is_closed:
                raise RunOver("the run wants no more labels")
            return None
        if not response.is_success:
            raise GaveUp(f"no task was given: status {response.status_code}, {response.text[:200]}")
        task = TASK.validate_json(response.content)
        answer = answer_to(
            task, self._profile, self._gold, self.report.acknowledged, self._judgement
        )
        await self._sleep((answer.active_ms or 0) / 1000)
        return answer

    async def _submit(self, answer: LabelSubmission) -> None:
        """Hand an answer in, as often as it takes; the assignment id makes it count once."""
        body = to_json(answer, exclude_none=True).decode()
        response = await self._request("POST", "/api/v1/labels", content=body)
        if response.is_success:
            ANSWER.validate_json(response.content)
            self.report.acknowledged += 1
            self.report.skipped += answer.outcome == "skip"
        else:
            self.report.refused += 1
            _log.warning("label_refused", status=response.status_code, answer=response.text[:200])
        self.report.write(self._report_path)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, float] | None = None,
        content: str | None = None,
    ) -> httpx.Response:
        """Send a request until something other than "try again" comes back.

        Raises GaveUp, or where the labeler was told to stop RunOver, when its patience ends.
        """

        async def once() -> httpx.Response:
            try:
                response = await self._http.request(
                    method,
                    path,
                    params=params,
                    content=content,
                    headers={"content-type": "application/json"} if content else None,
                )
            except httpx.TransportError as error:
                raise NotNow(repr(error)) from error
            self._is_full = response.status_code == httpx.codes.INSUFFICIENT_STORAGE
            if _is_retried(method, response.status_code):
                raise not_now(response)
            return _known(response)

        def give_up(state: RetryCallState) -> None:
            why = state.outcome and state.outcome.exception()
            trouble = f"{method} {path}: {why}, for {state.idle_for:.0f} s"
            raise RunOver(trouble) if self._stop.is_set() else GaveUp(trouble)

        retrying = AsyncRetrying(
            sleep=self._sleep,
            wait=self._backoff,
            stop=self._is_out_of_patience,
            retry=retry_if_exception_type(NotNow),
            before_sleep=self._count_retry,
            retry_error_callback=give_up,
        )
        response: httpx.Response = await retrying(once)
        return response

    def _is_out_of_patience(self, state: RetryCallState) -> bool:
        if self._is_full and not self._stop.is_set():
            state.idle_for = 0  # the run waits for room on its disk, and so do those who label
        return state.idle_for >= (LAST_PATIENCE_S if self._stop.is_set() else self._patience_s)

    def _count_retry(self, state: RetryCallState) -> None:
        self.report.retried += 1


def _known(response: httpx.Response) -> httpx.Response:
    """Pass an answer on, unless it says that this labeler has nothing to do here any more."""
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise Unauthenticated(
            "the server does not know this labeler's token: check --token-file or "
            "ANDON_LABELER_TOKEN"
        )
    if response.status_code == httpx.codes.GONE:
        raise RunOver("the run is over")
    return response


def _is_retried(method: str, status: int) -> bool:
    """Return whether the same request may be answered otherwise in a while."""
    return status in BUSY or (method == "GET" and status == NOT_SERVED)


async def _cancel(task: asyncio.Task[object]) -> None:
    """Cancel a task and see it end."""
    task.cancel()
    await asyncio.wait({task})
