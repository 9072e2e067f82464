"""What reached which version, by hand."""

from __future__ import annotations

from label_queue.folds.lineage import (
    Lines,
    Memories,
    ancestry,
    left_behind,
    parents,
    policies_touched,
    rewards_behind,
)
from protocol.fits import RewardVersion
from tests.support.labels import make_provenance, make_reward

LISTS = {
    1: frozenset({"a", "bad"}),
    2: frozenset({"a", "bad", "c"}),
    3: frozenset({"a", "c", "d"}),
    4: frozenset({"a", "c", "d"}),
    5: frozenset({"a", "c", "d", "e"}),
}
REWARDS: list[RewardVersion] = [
    make_reward(1, ledger_seq=10),
    make_reward(2, ledger_seq=15, kind="warm"),
    make_reward(3, ledger_seq=20, kind="warm"),
    make_reward(4, ledger_seq=20),
    make_reward(5, ledger_seq=25, kind="warm"),
]
REWARD_SERVED = Memories(REWARDS, LISTS.__getitem__)
"""The labeler of "bad" was excluded before reward version 3; only the refit, 4, forgot it."""


def test_a_reward_remembers_until_the_next_refit() -> None:
    assert {
        1: {"a", "bad"},
        2: {"a", "bad", "c"},
        3: {"a", "bad", "c", "d"},
        4: {"a", "c", "d"},
        5: {"a", "c", "d", "e"},
    } == REWARD_SERVED
    assert REWARD_SERVED.touching({"bad"}) == (1, 2, 3)
    assert REWARD_SERVED.touching({"e", "d"}) == (3, 4, 5)
    assert REWARD_SERVED.touching(set()) == ()


def test_memories_grow_by_the_versions_that_came() -> None:
    grown, looks = Memories((), LISTS.__getitem__), []
    for count in range(1, len(REWARDS) + 1):
        before, grown = grown, grown.grown_to(REWARDS[:count])
        looks.append((dict(before), dict(grown)))
    assert looks[-1][1] == dict(REWARD_SERVED)
    assert [len(before) for before, _ in looks] == [0, 1, 2, 3, 4]  # who had one, has it still
    assert dict(grown.grown_to(REWARDS[:2])) == looks[1][1]  # of a view that is older


def test_lines_of_descent_grow_by_the_versions_that_came() -> None:
    policies = [make_provenance(0), make_provenance(1, 1), make_provenance(3, 2, restored_from=1)]
    lines = Lines()
    for count in (1, 3, 3):
        lines.grow_to(policies[:count])
    assert lines.parents == parents(reversed(policies))
    assert [parent for _, parent in lines.parents.values()] == [None, 0, 1]
    assert lines.versions == [0, 1, 3]


def test_the_starting_policy_may_be_told_of_late() -> None:
    policies = [make_provenance(1, 1), make_provenance(2, 1), make_provenance(0)]
    lines = Lines()
    for count in (2, 3, 3):
        lines.grow_to(policies[:count])
    assert lines.versions == [0, 1, 2]
    assert [parent for _, parent in lines.parents.values()] == [None, 0, 1]
    assert lines.parents == parents(policies)


def test_a_policy_stays_touched_though_its_reward_is_clean() -> None:
    policies = [make_provenance(v, reward) for v, reward in ((0, 0), (1, 3), (2, 4), (3, 4))]
    assert policies_touched(policies, (1, 2, 3)) == (1, 2, 3)
    assert policies_touched(policies, (4,)) == (2, 3)
    assert policies_touched(policies, (5,)) == ()


def test_a_rollback_cleans_the_chain_and_a_touched_parent_does_not() -> None:
    policies = [
        make_provenance(0),
        make_provenance(1, 1),
        make_provenance(2, 2),
        # What restored it trained on nothing, whatever reward was live.
        make_provenance(3, 2, restored_from=1),
        make_provenance(4, 3),
        make_provenance(5, 3, restored_from=2),
        make_provenance(6, 3),
    ]
    assert policies_touched(policies, (2,)) == (2, 5, 6)
    assert policies_touched(policies, (1,)) == (1, 2, 3, 4, 5, 6)
    line = ancestry(policies, 4)
    assert [policy.version for policy in line] == [4, 3, 1, 0]
    assert rewards_behind(line) == (1, 3)
    assert rewards_behind(ancestry(policies, 6)) == (1, 2, 3)


def test_left_behind_is_what_the_newest_does_not_come_from() -> None:
    policies = [make_provenance(version) for version in range(4)]
    assert left_behind([]) == left_behind(policies) == frozenset()
    policies += [make_provenance(4, restored_from=1), make_provenance(5)]
    assert left_behind(policies) == {2, 3}
    # What was left may be gone back to, and then it is the other line that is left.
    assert left_behind([*policies, make_provenance(6, restored_from=3)]) == {4, 5}


def test_rho_has_nothing_behind_it() -> None:
    line = ancestry([make_provenance(0), make_provenance(1)], 0)
    assert [policy.version for policy in line] == [0]
    assert rewards_behind(line) == ()


def test_an_unknown_version_has_no_line() -> None:
    assert ancestry([make_provenance(0)], 9) == ()


def test_where_a_version_is_missing_the_one_before_stands_for_it() -> None:
    policies = [make_provenance(0), make_provenance(1, 1), make_provenance(3, 2)]
    assert policies_touched(policies, (1,)) == (1, 3)
    assert [policy.version for policy in ancestry(policies, 3)] == [3, 1, 0]
