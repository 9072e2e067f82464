"""Generated dialogues: what is agreed on in them, and what clerks made of it."""

from __future__ import annotations

import random
from itertools import cycle
from statistics import fmean
from typing import Any

import pytest

from actors.prompts.corpora import corpus, corpus_vocabulary
from actors.prompts.dialogues import (
    MAX_ANSWER_TOKENS,
    MAX_PROMPT_TOKENS,
    SLOTS,
    WORDS,
    Dialogue,
    confirmation,
    dialogue,
    dialogue_corpus,
    vocabulary,
)
from label_queue.simulated.gold.dialogues import DialoguesGold, agreement, things
from learners.word_tokenizer import build_tokenizer
from protocol.chat import in_one_text
from protocol.tokenizing import PolicyTokenizer


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    return [dialogue(random.Random(number)) for number in range(3_000)]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return build_tokenizer(vocabulary(), takes_chats=True)


def test_guest_and_clerk_speak_by_turns_and_the_guest_is_last(dialogues: list[Dialogue]) -> None:
    for each in dialogues:
        roles = [turn.role for turn in each.turns]
        assert roles == [role for role, _ in zip(cycle(("user", "assistant")), roles, strict=False)]
        assert len(roles) == 5


def test_what_is_agreed_on_stands_in_no_single_turn(dialogues: list[Dialogue]) -> None:
    for each in dialogues:
        for turn in each.turns:
            assert len({said.slot for said in things(turn.content)}) < len(SLOTS)


def test_the_labelers_reading_finds_what_was_put_in(dialogues: list[Dialogue]) -> None:
    for each in dialogues:
        assert agreement(in_one_text("", each.turns)) == each.booking
        for slot, word in each.outdated.items():
            assert word in WORDS[slot]
            assert word != each.booking[slot]
            assert word in " ".join(turn.content for turn in each.turns).split()


def test_the_shortest_whole_confirmation_has_the_most_gold(dialogues: list[Dialogue]) -> None:
    gold = DialoguesGold()
    for each in dialogues[:500]:
        prompt = in_one_text("", each.turns)
        best = gold.score(prompt, confirmation(each.booking))
        assert best == pytest.approx(3 - 0.1 * 9)
        assert gold.score(prompt, each.reference) <= best
        for slot, word in each.outdated.items():
            assert gold.score(prompt, confirmation({**each.booking, slot: word})) < best - 1.5


def test_clerks_leave_things_out_and_tell_what_was_changed_since(
    dialogues: list[Dialogue],
) -> None:
    told = [{said.slot: said.word for said in things(each.reference)} for each in dialogues]
    assert fmean(len(each) for each in told) == pytest.approx(3 * 0.8, abs=0.1)
    changed = [
        each.outdated[slot] == said[slot]
        for each, said in zip(dialogues, told, strict=True)
        for slot in each.outdated
        if slot in said
    ]
    assert fmean(changed) == pytest.approx(0.5, abs=0.05)
    assert 0.8 < fmean(len(each.outdated) for each in dialogues) < 1.2


def test_every_text_has_room_and_known_words_alone(
    dialogues: list[Dialogue], tokenizer: Any
) -> None:
    policy, longest = PolicyTokenizer(tokenizer), 0
    for each in dialogues:
        prompt = policy.prompt_ids(each.turns, where="")
        whole = policy.response_ids(each.text, where="")
        assert whole[: len(prompt)] == prompt, "what is learned goes on from what is asked"
        assert policy.knows_all(whole)
        longest = max(longest, len(prompt))
        assert len(whole) - len(prompt) < MAX_ANSWER_TOKENS
    assert longest == MAX_PROMPT_TOKENS


def test_the_seed_decides_the_corpus() -> None:
    assert corpus("dialogues", 3, 1) == dialogue_corpus(3, seed=1) != dialogue_corpus(3, seed=2)
    assert corpus_vocabulary("dialogues") == vocabulary()
    assert set(" ".join(corpus("dialogues", 2_000, 1)).split()) == set(vocabulary())
