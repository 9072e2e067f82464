"""What every prompt source promises, the fake included."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from protocol.messages import Prompt, Rollout
from protocol.ports import ListeningPromptSource, PromptSource
from tests.support.contract import Contract
from tests.support.messages import make_request, make_rollout


def answers(prompts: Sequence[Prompt], text: str, version: int = 0) -> list[Rollout]:
    """Responses to prompts, each the same text."""
    return [
        replace(make_rollout(replace(make_request(), prompt=prompt), version), text=text)
        for prompt in prompts
    ]


class PromptSourceContract(Contract):
    """Inherit, and give `source`."""

    @abstractmethod
    def source(self) -> PromptSource:
        """Return a source at its beginning; of the same seed each time."""

    def test_how_prompts_are_asked_for_is_no_matter(self) -> None:
        whole, in_parts = self.source(), self.source()
        drawn = whole.draw(30)
        assert [p for count in (1, 0, 12, 17) for p in in_parts.draw(count)] == drawn
        assert len(set(drawn)) > 1

    def test_what_is_skipped_is_what_would_have_been_drawn(self) -> None:
        whole, skipped = self.source(), self.source()
        drawn = whole.draw(30)
        skipped.skip(7)
        assert skipped.draw(5) == drawn[7:12]
        skipped.skip(0)
        skipped.skip(10)
        assert skipped.draw(8) == drawn[22:]


class ListeningPromptSourceContract(PromptSourceContract):
    """Inherit, and give `source`, which is a listening one."""

    @abstractmethod
    def source(self) -> ListeningPromptSource:
        """Return a source at its beginning; of the same seed each time."""

    def test_the_same_responses_make_the_same_stream_however_it_is_asked_for(self) -> None:
        whole, in_parts = self.source(), self.source()
        for each in (whole, in_parts):
            each.responded(answers(each.draw(30), "the mayor opened ."))
        drawn = whole.draw(40)
        assert [p for count in (3, 0, 20, 17) for p in in_parts.draw(count)] == drawn

    def test_what_was_heard_makes_a_difference(self) -> None:
        drawn = []
        for text in ("the mayor opened .", "the baker sold ."):
            source = self.source()
            source.responded(answers(source.draw(30), text))
            drawn.append(source.draw(10))
        plain = self.source()
        plain.draw(30)
        assert drawn[0] != drawn[1]
        assert plain.draw(10) not in drawn

    def test_it_goes_on_from_its_state_whatever_was_drawn_before(self) -> None:
        first, other = self.source(), self.source()
        drawn = first.draw(30)
        first.responded(answers(drawn[:20], "the mayor opened ."))
        first.unanswered(drawn[20:23])
        out = first.draw(4)
        other.draw(9)
        other.resume(first.state)
        assert other.state == first.state
        for each in (first, other):
            each.responded(answers([*drawn[23:], *out], "the baker sold ."))
        assert other.draw(40) == first.draw(40)

    def test_what_comes_back_unanswered_is_handed_out_again(self) -> None:
        source = self.source()
        drawn = source.draw(12)
        source.unanswered([drawn[3], drawn[8]])
        source.unanswered([drawn[3]])  # told twice
        assert source.draw(2) == [drawn[3], drawn[8]]
        assert set(source.draw(20)).isdisjoint(drawn)

    def test_prompts_that_it_did_not_hand_out_are_no_matter(self) -> None:
        source, plain = self.source(), self.source()
        strange = Prompt(prompt_id="elsewhere-1", text="the", token_ids=(1,))
        source.responded(answers([strange], "the mayor opened ."))
        source.unanswered([strange])
        assert source.draw(10) == plain.draw(10)
