"""What every prompt source promises, the fake included."""

from __future__ import annotations

from abc import abstractmethod

from protocol.ports import PromptSource
from tests.support.contract import Contract


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
