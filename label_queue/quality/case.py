"""A labeler's case: what the fold of standings keeps of one, and how it comes to a state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from label_queue.kept import kept
from label_queue.quality.drift import cusum
from label_queue.quality.gold import evidence, sequential_verdict
from label_queue.quality.run_length import drift_threshold
from label_queue.quality.standing import GoldAlarm, LabelerState, Standing
from label_queue.quality_config import QualityConfig
from protocol.labels import ActUndone, Excluded, LabelChange, Reinstated


@kept()
@dataclass(frozen=True, slots=True, kw_only=True)
class GoldAnswer:
    """A gold answer, as it tests whoever gave it."""

    seq: int
    """Sequence number when first given."""
    is_right: bool
    k: int
    """K, its candidates."""
    usual: float
    """How often good labelers answered that gold rightly before it was given."""


@kept()
@dataclass(slots=True, kw_only=True)
class _Tests:
    """The sequential test, and after it the cumulative sum."""

    log_ratio: float = 0.0
    is_cleared: bool = False
    drift: float = 0.0
    good_through: int = 0
    """Sequence number of the last gold answer that left the sum at 0, or cleared the labeler."""

    @property
    def against(self) -> float:
        """What speaks against them in the test that goes on, nats, at least 0."""
        return self.drift if self.is_cleared else max(0.0, self.log_ratio)

    def take(self, answer: GoldAnswer, config: QualityConfig) -> GoldAlarm | None:
        """Take the next gold answer; return the alarm it raises."""
        step = evidence(is_right=answer.is_right, config=config, k=answer.k, usual=answer.usual)
        if self.is_cleared:
            self.drift = cusum(self.drift, step)
            if self.drift == 0.0:
                self.good_through = answer.seq
            return "drift" if self.drift >= drift_threshold(config, answer.k) else None
        self.log_ratio += step
        verdict = sequential_verdict(self.log_ratio, config)
        self.is_cleared = verdict == "good"
        self.good_through = answer.seq if self.is_cleared else 0
        return "gold" if verdict == "bad" else None


@kept()
@dataclass(frozen=True, slots=True, kw_only=True)
class _Lifted:
    """What a reinstatement lifted, as it was."""

    is_vouched: bool
    tests: _Tests
    answers: dict[str, GoldAnswer]
    alarm: GoldAlarm | None
    is_asked_about: bool


@kept()
@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """The owner's newest act about somebody, and what undoes it."""

    event_id: str
    excluded_from: int | None
    """From where on labels were left out before it."""
    lifted: _Lifted | None
    """What else it changed; None: nothing."""


@kept()
@dataclass(slots=True, kw_only=True)
class Case:
    """What the fold keeps of one labeler."""

    is_vouched: bool
    """Whether the owner vouched for them, or there was no gold when they began."""
    tests: _Tests = field(default_factory=_Tests)
    answers: dict[str, GoldAnswer] = field(default_factory=dict)
    """Gold answers since the tests began, by label id."""
    answers_before: dict[str, bool] = field(default_factory=dict)
    """Gold answers from before the tests were restarted, by label id, and whether right: what is
    made of one later is counted, and tests nobody."""
    alarm: GoldAlarm | None = None
    is_asked_about: bool = False
    """Whether the alarm asks the owner in the place of suspending."""
    excluded_from: int | None = None
    num_submits: int = 0
    """Labels they ever gave, those taken back among them."""
    is_judge: bool = False
    act: _Act | None = None
    """The owner's newest act, if it can be undone."""
    undone: str | None = None
    """The event id of the act that was undone last."""

    def standing(self) -> Standing:
        """Return how they stand."""
        right = sum(answer.is_right for answer in self.answers.values())
        right_before = sum(self.answers_before.values())
        wrong_before = len(self.answers_before) - right_before
        return Standing(
            state=self._state(),
            excluded_from=self.excluded_from,
            held_from=self._held_from(),
            alarm=self.alarm,
            gold_right=right_before + right,
            gold_wrong=wrong_before + len(self.answers) - right,
            is_judge=self.is_judge,
            gold_against=self.tests.against,
            undoable=None if self.act is None else self.act.event_id,
        )

    @property
    def is_in_good_standing(self) -> bool:
        """Whether what they answer says how hard gold is."""
        return self._state() == "active"

    def _held_from(self) -> int | None:
        if self.alarm == "drift":
            return self.tests.good_through + 1
        return 0 if self.alarm == "gold" or not self._is_cleared else None

    @property
    def _is_cleared(self) -> bool:
        return self.is_vouched or self.tests.is_cleared

    def _state(self) -> LabelerState:
        if self.excluded_from is not None:
            return "excluded"
        if self.is_judge:
            return "judge"
        if self.alarm is not None:
            return "questioned" if self.is_asked_about else "suspended"
        return "active" if self._is_cleared else "probation"

    def answer(
        self,
        event: LabelChange,
        is_right: bool | None,
        config: QualityConfig,
        *,
        k: int,
        usual: float,
        share: float,
    ) -> None:
        """Take a gold answer, its revision, or its end. An alarm stays once it is raised.

        Args:
            event: What was done.
            is_right: Whether the gold is answered rightly; None: it is answered no more.
            config: The tests.
            k: K, the gold's candidates.
            usual: How often good labelers answer it rightly.
            share: Their labels so far, of all so far.
        """
        name = event.label_id
        if name in self.answers_before:
            if is_right is None:
                del self.answers_before[name]
            else:
                self.answers_before[name] = is_right
            return
        before = self.answers.get(name)
        if is_right is None:
            if self.answers.pop(name, None) is None:
                return
        elif before is None:
            self.answers[name] = GoldAnswer(seq=event.seq, is_right=is_right, k=k, usual=usual)
        else:
            self.answers[name] = replace(before, is_right=is_right)
        if self.alarm is not None:
            return
        if before is None and is_right is not None:
            self.alarm = self.tests.take(self.answers[name], config)
        else:
            self._test_anew(config)
        self._ask_about(config, share)

    def _ask_about(self, config: QualityConfig, share: float) -> None:
        """Have the owner asked about an alarm that was just raised, if much comes of them."""
        self.is_asked_about = self.alarm == "drift" and share >= config.ask_owner_from

    def _test_anew(self, config: QualityConfig) -> None:
        self.tests = _Tests()
        for each in self.answers.values():
            self.alarm = self.alarm or self.tests.take(each, config)

    def exclude(self, event: Excluded) -> None:
        """Leave their labels out, from a number on."""
        self.act = _Act(event_id=event.event_id, excluded_from=self.excluded_from, lifted=None)
        self.excluded_from = event.from_seq or 0

    def reinstate(self, event: Reinstated) -> None:
        """Lift whatever holds their labels or leaves them out, and begin the tests anew."""
        self.act = _Act(
            event_id=event.event_id,
            excluded_from=self.excluded_from,
            lifted=_Lifted(
                is_vouched=self.is_vouched,
                tests=self.tests,
                answers=self.answers,
                alarm=self.alarm,
                is_asked_about=self.is_asked_about,
            ),
        )
        self.answers_before |= {name: each.is_right for name, each in self.answers.items()}
        self.answers, self.tests = {}, _Tests()
        self.alarm = self.excluded_from = None
        self.is_vouched, self.is_asked_about = True, False

    def undo(self, event: ActUndone, config: QualityConfig, share: float) -> None:
        """Take the newest act back; nothing happens where it is another.

        `share` is that of their labels so far, of all so far.
        """
        act = self.act
        if act is None or act.event_id != event.undoes:
            return
        self.act, self.undone, self.excluded_from = None, act.event_id, act.excluded_from
        if act.lifted is not None:
            self._put_back(act.lifted, config, share)

    def _put_back(self, lifted: _Lifted, config: QualityConfig, share: float) -> None:
        """Let the tests go on from where they were, with what was answered since."""
        now = self.answers_before
        since, self.answers = self.answers, {}
        for name, answer in lifted.answers.items():
            if name in now:
                self.answers[name] = replace(answer, is_right=now.pop(name))
        self.answers |= since
        self.is_vouched, self.alarm = lifted.is_vouched, lifted.alarm
        self.is_asked_about = lifted.is_asked_about
        if self.alarm is None:
            self._test_anew(config)
            self._ask_about(config, share)
        else:
            self.tests = lifted.tests
