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
        assert [in_parts.cursor, whole.cursor] == [0, 30]
        assert [p for count in (1, 0, 12, 17) for p in in_parts.draw(count)] == drawn
        assert in_parts.cursor == 30
        assert len(set(drawn)) > 1

    def test_a_cursor_is_all_there_is_to_resume(self) -> None:
        source = self.source()
        whole = source.draw(30)
        resumed = self.source()
        resumed.seek(11)
        assert resumed.cursor == 11
        assert resumed.draw(4) == whole[11:15]
        for cursor in (3, 25, 0):
            source.seek(cursor)
            assert source.draw(5) == whole[cursor : cursor + 5]
            assert source.cursor == cursor + 5
