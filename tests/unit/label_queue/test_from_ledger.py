"""What is fitted from a ledger alone: as the run itself would fit it, less what is held out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from label_queue.fitting.from_ledger import LedgerFit, read_fit
from label_queue.folds.view import LedgerView
from label_queue.quality_config import DEFAULT_QUALITY
from label_queue.queue import LabelQueue
from protocol.errors import InputError
from tests.support.hand_made_ledger import hand_made_view
from tests.support.labels import make_assignment, make_config, make_event, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label


def fit_of(
    view: LedgerView,
    *,
    share: float = 0.0,
    until_seq: int | None = None,
    seed: int = 1,
    num_reference: int = 256,
) -> LedgerFit:
    return read_fit(
        view,
        DEFAULT_QUALITY,
        until_seq=until_seq,
        validation_share=share,
        num_reference=num_reference,
        seed=seed,
    )


async def test_with_nothing_held_out_it_is_the_refit_of_the_run_itself(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue: LabelQueue = make_queue(make_config(quality=DEFAULT_QUALITY))
    await answer_orders(queue)
    await label(queue, 7)
    await label(queue, 4, "bob")
    await queue.owner.exclude("bob", 0, "clicks")
    await answer_orders(queue)
    await label(queue, 3)
    ordered = await queue.policy_loop.next_refit()
    assert ordered.labels_used == 10
    found = fit_of(LedgerView.of(ledger))
    assert found.request == ordered


def test_no_query_is_on_both_sides_and_none_is_lost() -> None:
    shared = make_query(3)
    view = hand_made_view(make_assignment(shared, "cat"), make_event(shared, "cat"))
    both: set[str] = set()
    for seed in range(20):
        found = fit_of(view, share=0.4, seed=seed)
        held = {each.query_id for each in found.held_out}
        kept = {each.query_id for each in found.request.comparisons}
        assert not held & kept
        assert len(found.held_out) + len(found.request.comparisons) == 12
        both |= held
    assert len(both) == 11, "each query is held out under some seed"


def test_a_query_stays_on_its_side_as_the_ledger_grows() -> None:
    view = hand_made_view()
    held = {each.query_id for each in fit_of(view, share=0.4).held_out}
    before = fit_of(view, share=0.4, until_seq=6)
    assert {each.query_id for each in before.held_out} == held & {f"q{n}" for n in range(6)}


def test_up_to_an_event_it_is_the_fit_of_a_ledger_that_ends_there() -> None:
    view = hand_made_view()
    short = replace(view, events=view.events[:8], rewards=(), policies=())
    assert fit_of(view, until_seq=8, share=0.3) == fit_of(short, share=0.3)


def test_what_normalises_is_what_the_starting_policy_wrote_and_people_judged() -> None:
    # Queries 0 to 3 are of version 0, with four candidates each.
    found = fit_of(hand_made_view())
    assert len(found.reference_sequences) == 16
    query = make_query(0, versions=(0,) * 4)
    first = query.prompt_token_ids + query.candidates[0].token_ids
    assert found.reference_sequences[0] == first
    assert len(fit_of(hand_made_view(), until_seq=2).reference_sequences) == 8
    assert len(fit_of(hand_made_view(), num_reference=3).reference_sequences) == 3


def test_agreement_is_of_those_who_shared_a_query() -> None:
    assert fit_of(hand_made_view()).agreement is None
    first, second = make_query(0), make_query(1)
    view = hand_made_view(
        make_assignment(first, "cat"),
        make_event(first, "cat"),
        make_assignment(second, "cat"),
        replace(make_event(second, "cat"), choice=second.candidates[1].candidate_id),
    )
    found = fit_of(view)
    # Ann and cat agree on one of two, and each of the four answers counts.
    assert (found.agreement, found.num_shared) == (0.5, 4)


def test_what_cannot_be_fitted_says_why() -> None:
    view = hand_made_view()
    with pytest.raises(InputError, match="ends at event 11, before 12: lower --until-seq"):
        fit_of(view, until_seq=12)
    with pytest.raises(InputError, match="up to event 0 the ledger holds no label that trains"):
        fit_of(view, until_seq=0)
    with pytest.raises(InputError, match="lower --validation-share"):
        fit_of(view, share=0.9999999)
