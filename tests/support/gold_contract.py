"""What every gold score promises."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import pytest

from label_queue.simulated.gold.port import Gold
from tests.support.contract import Contract

ODD_TEXTS = (
    *(
        "",
        " ",
        "\n\n",
        ".",
        "?!",
        "...",
        "- - -",
        "\x00\x1b[31m",
        "\ud83d",
        "\u202eevil",
        "😀" * 50,
    ),
    *("word " * 3_000, "x" * 20_000, "1e999 NaN inf", "<|im_end|>", "非常に良い", "ОТЛИЧНО!"),
)


class GoldContract(Contract):
    """Inherit; give `gold`, and two responses to a prompt of which one is better."""

    prompt: ClassVar[str]
    better: ClassVar[str]
    worse: ClassVar[str]

    @abstractmethod
    def gold(self) -> Gold:
        """Return the score, made anew."""

    def test_what_labelers_should_like_scores_higher(self) -> None:
        gold = self.gold()
        assert gold.score(self.prompt, self.better) > gold.score(self.prompt, self.worse)

    def test_the_same_text_gets_the_same_score_from_each(self) -> None:
        first, second = self.gold(), self.gold()
        for text in (self.better, self.worse, self.better):
            assert first.score(self.prompt, text) == second.score(self.prompt, text)

    @pytest.mark.parametrize("empty", ["", "  ", "\n"])
    def test_saying_nothing_is_worth_nothing(self, empty: str) -> None:
        assert self.gold().score(self.prompt, empty) == 0.0

    @pytest.mark.parametrize("odd", ODD_TEXTS)
    def test_any_text_has_a_finite_score(self, odd: str) -> None:
        for prompt, response in ((self.prompt, odd), (odd, self.better)):
            for gamma in (1.0, 0.5, 1e-3):
                assert math.isfinite(self.gold().score(prompt, response, gamma))

    def test_a_myopic_reader_remembers_the_end(self) -> None:
        gold = self.gold()
        ends_well = f"{self.worse} {self.better}"
        ends_badly = f"{self.better} {self.worse}"
        with_memory = gold.score("", ends_well) - gold.score("", ends_badly)
        without = gold.score("", ends_well, 0.1) - gold.score("", ends_badly, 0.1)
        assert without > with_memory
        assert without > 0
