"""Prompt sources: how a stream is cut into draws never changes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.prompts.source import FilePrompts
from protocol.messages import Prompt


def prompts(count: int) -> list[Prompt]:
    return [Prompt(prompt_id=str(n), text=f"text {n}", token_ids=(n,)) for n in range(count)]


@given(
    size=st.integers(1, 9),
    seed=st.integers(),
    draws=st.lists(st.integers(0, 12), max_size=6),
)
def test_draws_of_any_size_give_the_same_stream(size: int, seed: int, draws: list[int]) -> None:
    whole = FilePrompts(prompts(size), seed=seed, shuffle=True).draw(sum(draws))
    in_parts = FilePrompts(prompts(size), seed=seed, shuffle=True)
    assert [prompt for count in draws for prompt in in_parts.draw(count)] == whole


@given(size=st.integers(1, 9), seed=st.integers(), epochs=st.integers(1, 4))
def test_each_epoch_holds_every_prompt_once(size: int, seed: int, epochs: int) -> None:
    source = FilePrompts(prompts(size), seed=seed, shuffle=True)
    for _ in range(epochs):
        assert sorted(prompt.prompt_id for prompt in source.draw(size)) == [
            prompt.prompt_id for prompt in prompts(size)
        ]
