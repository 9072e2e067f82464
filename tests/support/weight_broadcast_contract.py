"""What every collective with the engines promises at the learner's end."""

from __future__ import annotations

import threading
from abc import abstractmethod

import pytest

from protocol.ports import WeightBroadcast
from tests.support.contract import Contract


class WeightBroadcastContract(Contract):
    """Subclasses give a `broadcast` to two actors, "rollout-0" and "rollout-1"."""

    @pytest.fixture
    @abstractmethod
    def broadcast(self) -> WeightBroadcast:
        """One that nobody has joined."""

    def test_every_actor_has_a_seat_of_its_own(self, broadcast: WeightBroadcast) -> None:
        seats = broadcast.seats()
        assert set(seats) == {"rollout-0", "rollout-1"}
        assert seats["rollout-0"] != seats["rollout-1"]
        assert broadcast.seats() == seats

    def test_it_can_be_left_twice_from_any_thread(self, broadcast: WeightBroadcast) -> None:
        other = threading.Thread(target=broadcast.abort)
        other.start()
        other.join()
        broadcast.abort()
