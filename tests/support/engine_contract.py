"""What every engine must do: the fake's unit tests and vLLM's integration tests both run it."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

import pytest

from actors.engine import Engine
from actors.weights import Weights
from protocol.errors import InputError
from protocol.messages import Sampling
from tests.support.contract import Contract

PROMPT = (5, 6, 7)


class EngineContract(Contract):
    """Subclasses give an `engine` fixture, already started, and weights other than its own."""

    end_token = "<eos>"
    """How the engine's vocabulary spells its one end token."""

    @abstractmethod
    def make_weights(self, number: int) -> Weights:
        """Return one of several different sets of weights."""

    @pytest.fixture
    def versions(self) -> list[int]:
        """The next policy versions to load; an engine shared by tests needs ever new ones."""
        raise NotImplementedError

    async def test_draws_as_many_tokens_as_asked(self, engine: Engine) -> None:
        sampling = Sampling(temperature=1.0, max_tokens=12)
        sample = await engine.sample("a", PROMPT, sampling, stop_token_ids=frozenset())
        assert len(sample.token_ids) == len(sample.logprobs) == len(sample.policy_versions) == 12
        assert all(logprob <= 0 for logprob in sample.logprobs)

    async def test_says_while_drawing_what_it_says_while_scoring(self, engine: Engine) -> None:
        sampling = Sampling(temperature=1.0, max_tokens=12)
        sample = await engine.sample("a", PROMPT, sampling, stop_token_ids=frozenset())
        scored = await engine.score(PROMPT + sample.token_ids)
        assert len(scored) == len(PROMPT) + 12 - 1
        assert scored[len(PROMPT) - 1 :] == pytest.approx(sample.logprobs, abs=1e-4)

    async def test_temperature_sharpens_the_logprobs_returned(self, engine: Engine) -> None:
        sampling = Sampling(temperature=0.05, max_tokens=12)
        sample = await engine.sample("a", PROMPT, sampling, stop_token_ids=frozenset())
        scored = await engine.score(PROMPT + sample.token_ids)
        assert sum(sample.logprobs) > sum(scored[len(PROMPT) - 1 :]) + 1.0

    async def test_stops_at_any_of_the_stop_tokens(self, engine: Engine) -> None:
        sampling = Sampling(temperature=1.0, max_tokens=20, seed=3)
        free = await engine.sample("a", PROMPT, sampling, stop_token_ids=frozenset())
        stops = frozenset(free.token_ids[7:9])
        for _ in range(4):
            sample = await engine.sample("b", PROMPT, sampling, stop_token_ids=stops)
            assert stops.isdisjoint(sample.token_ids[:-1])
            assert len(sample.token_ids) == 20 or sample.token_ids[-1] in stops

    async def test_refuses_tokens_it_does_not_know(self, engine: Engine) -> None:
        sampling = Sampling(temperature=1.0, max_tokens=2)
        with pytest.raises(InputError):
            await engine.sample("a", (5, 10**6), sampling, stop_token_ids=frozenset())

    async def test_load_changes_what_it_says_and_the_version_it_says_it_under(
        self, engine: Engine, versions: list[int]
    ) -> None:
        sequence = (*PROMPT, 5, 6, 7)
        first, second = versions[:2]
        await engine.load(first, self.make_weights(1))
        before = await engine.score(sequence)
        await engine.load(second, self.make_weights(2))
        after = await engine.score(sequence)
        assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 0.1
        sampling = Sampling(temperature=1.0, max_tokens=4)
        sample = await engine.sample("a", PROMPT, sampling, stop_token_ids=frozenset())
        assert sample.policy_versions == (second,) * 4

    async def test_load_keeps_what_is_under_way(self, engine: Engine, versions: list[int]) -> None:
        first, second = versions[:2]
        await engine.load(first, self.make_weights(1))
        sampling = Sampling(temperature=1.0, max_tokens=24)
        draws = [
            asyncio.create_task(
                engine.sample(f"a{n}", PROMPT, sampling, stop_token_ids=frozenset())
            )
            for n in range(8)
        ]
        await asyncio.sleep(0)
        await engine.load(second, self.make_weights(2))
        for sample in await asyncio.gather(*draws):
            assert len(sample.token_ids) == 24
            assert list(sample.policy_versions) == sorted(sample.policy_versions)
            assert set(sample.policy_versions) <= {first, second}

    async def test_says_after_a_rest_what_it_said_before(self, engine: Engine) -> None:
        sequence = (*PROMPT, 5, 6, 7)
        before = await engine.score(sequence)
        for _ in range(2):
            await engine.rest()
            await engine.wake_weights()
            await engine.wake()
            assert await engine.score(sequence) == pytest.approx(before, abs=1e-6)

    async def test_takes_weights_before_it_is_awake(
        self, engine: Engine, versions: list[int]
    ) -> None:
        first, second = versions[:2]
        await engine.load(first, self.make_weights(1))
        sequence = (*PROMPT, 5, 6, 7)
        before = await engine.score(sequence)
        await engine.rest()
        await engine.wake_weights()
        await engine.load(second, self.make_weights(2))
        sampling = Sampling(temperature=1.0, max_tokens=4)
        draw = asyncio.create_task(
            engine.sample("early", PROMPT, sampling, stop_token_ids=frozenset())
        )
        done, _ = await asyncio.wait({draw}, timeout=0.2)
        assert not done
        await engine.wake()
        assert set((await draw).policy_versions) == {second}
        after = await engine.score(sequence)
        assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 0.1

    async def test_finishes_what_is_under_way_before_it_rests(
        self, engine: Engine, versions: list[int]
    ) -> None:
        first, second = versions[:2]
        await engine.load(first, self.make_weights(1))
        sampling = Sampling(temperature=1.0, max_tokens=24)
        draws = [
            asyncio.create_task(
                engine.sample(f"a{n}", PROMPT, sampling, stop_token_ids=frozenset())
            )
            for n in range(8)
        ]
        await asyncio.sleep(0)
        await engine.rest()
        await engine.wake_weights()
        await engine.load(second, self.make_weights(2))
        await engine.wake()
        for sample in await asyncio.gather(*draws):
            assert len(sample.token_ids) == 24
            assert len(set(sample.policy_versions)) == 1

    async def test_finds_the_tokens_that_read_a_text(self, engine: Engine) -> None:
        found = engine.ids_reading(".")
        assert found
        assert {engine.decode([token_id]) for token_id in found} == {"."}
        assert engine.ids_reading("not one token") == frozenset()

    async def test_shows_every_token(self, engine: Engine) -> None:
        assert engine.end_token_ids
        for token_id in engine.end_token_ids:
            assert engine.decode([5, token_id, 6]) not in ("", engine.decode([5, 6]))
            assert engine.decode([token_id]) == f"⟨{self.end_token}⟩"
