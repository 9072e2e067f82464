"""The fake keeps the engine's contract, so tests that use it mean something."""

from __future__ import annotations

import pytest

from actors.weights import Pieces, Weights
from tests.support.engine_contract import EngineContract
from tests.support.fake_engine import FakeEngine, fake_weights
from tests.support.stored import stored_weights


class TestFakeEngine(EngineContract, of=FakeEngine):
    @pytest.fixture
    async def engine(self) -> FakeEngine:
        engine = FakeEngine()
        await engine.start()
        return engine

    @pytest.fixture
    def versions(self) -> list[int]:
        return [1, 2]

    def make_weights(self, number: int) -> Weights:
        return Pieces(number, stored_weights(fake_weights(number)).stored)
