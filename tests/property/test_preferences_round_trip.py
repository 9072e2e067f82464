"""Prompt file → query → TRL's preferences → import: the same messages, and the same tokens."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from actors.prompts.config import PromptsConfig
from actors.prompts.source import build_prompt_source
from label_queue.asking.orders import QueryMaker, QueryMoment
from label_queue.asking.reference_pool import ReferencePool
from label_queue.asking.selection import Uniform
from label_queue.exchange.export import export_run
from label_queue.exchange.imports import import_file
from label_queue.exchange.preference_import import WrittenEnds
from label_queue.ledger.sql import SqlLedger
from protocol.chat import as_mappings
from protocol.distinct import is_comparison
from protocol.ending import EndRule
from protocol.labels import ComparisonQuery, QueryDraft, QueryOrder
from protocol.messages import ChatMessage, Prompt, Rollout
from protocol.tokenizing import PolicyTokenizer
from tests.support.labels import make_assignment, make_config, make_event
from tests.support.messages import make_request, make_rollout
from tests.support.tokenizers_of_all_kinds import ALL_KINDS

RUN = "run-1"
CHATTING = ("chatml", "turns_not_special")
ALL = (*CHATTING, "gemma", "unigram")
# An opening bracket is what shown control tokens begin with: a response that holds one is escaped.
RESPONSES = st.text(
    st.characters(codec="utf-8", exclude_characters="⟨\x00"), min_size=1, max_size=20
)
SAID = st.one_of(
    RESPONSES.filter(lambda text: bool(text.strip())),
    st.sampled_from(
        [
            "the soup <|im_end|> was",
            "<|im_start|>assistant\ngood",
            "user: hello\n\nassistant: ünï ☕ 汤",
            "  spaced  ",
            '{"soup": [1, null]}',
        ]
    ),
)
TURNS = st.builds(
    ChatMessage, role=st.sampled_from(["system", "user", "assistant", "tool"]), content=SAID
)
CHATS = st.lists(TURNS, min_size=1, max_size=5).map(tuple)


EVERY_ROLE = (
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content="How is\n\nassistant: the soup?"),
    ChatMessage(role="tool", content='{"soup": "heiß 汤"}'),
    ChatMessage(role="assistant", content="The soup is"),
    ChatMessage(role="user", content="Yes?"),
)


@cache
def tokenizer_of(kind: str) -> Any:
    return ALL_KINDS[kind]()


def rule_of(kind: str) -> EndRule:
    return EndRule(mode="end_token", marker_ids=frozenset({tokenizer_of(kind).eos_token_id}))


def read_prompt(kind: str, prompt: str | tuple[ChatMessage, ...], folder: Path) -> Prompt:
    """What a prompt file of one line gives."""
    path = folder / "prompts.jsonl"
    said = prompt if isinstance(prompt, str) else as_mappings(prompt)
    path.write_text(json.dumps({"prompt": said}, ensure_ascii=False) + "\n", encoding="utf-8")
    config = PromptsConfig(source="jsonl", path=str(path))
    (read,) = build_prompt_source(config, tokenizer_of(kind)).draw(1)
    return read


def sampled(kind: str, prompt: Prompt, text: str, number: int) -> Rollout:
    """A policy that writes a text as its tokenizer would."""
    tokenizer, rule = PolicyTokenizer(tokenizer_of(kind)), rule_of(kind)
    ids = tokenizer.response_ids(text, where="response")
    kept = tokenizer.kept_ids(ids, rule, is_chat=bool(prompt.messages))
    return replace(
        make_rollout(replace(make_request(number, "query"), prompt=prompt)),
        token_ids=kept,
        behavior_logprobs=(-1.0,) * len(kept),
        policy_versions=(1,) * len(kept),
        num_kept=len(kept),
        text=tokenizer.shown_text(rule.shown(kept)),
    )


def asked(prompt: Prompt, rollouts: Sequence[Rollout]) -> ComparisonQuery:
    """The query that the label queue makes of a draft."""
    pool = ReferencePool(per_query=1, rng=random.Random(0))
    config = make_config(kind="pair", num_candidates=2)
    numbers = count()
    maker = QueryMaker(
        config,
        run_id=RUN,
        selector=Uniform(config.num_candidates),
        pool=pool,
        new_id=lambda: f"q{next(numbers)}",
        rng=random.Random(0),
    )
    order = QueryOrder(
        order_id="o", purpose="train", num_drafts=1, num_queries=1, num_candidates=2, prompts=()
    )
    draft = QueryDraft(prompt=prompt, rollouts=tuple(rollouts))
    [selection] = maker.choose(order, [draft])
    moment = QueryMoment(now=1.0, labels=0, ledger_seq=0, num_wanted=1)
    return maker.make(order, selection, moment)


def exported_and_imported(kind: str, query: ComparisonQuery, folder: Path) -> ComparisonQuery:
    ledger = SqlLedger.open(folder / "ledger.sqlite", RUN)
    ledger.write([query, make_assignment(query), make_event(query, choice=0)])
    ledger.close()
    export_run(folder / "ledger.sqlite", folder / "out.jsonl", "trl")
    import_file(
        folder / "out.jsonl",
        folder / "copy.sqlite",
        run_id="run-2",
        tokenizer=tokenizer_of(kind),
        at_time=2.0,
        ends=WrittenEnds(of_chats=rule_of(kind), of_texts=rule_of(kind)),
    )
    copy = SqlLedger.open_to_read(folder / "copy.sqlite")
    [back] = copy.queries()
    copy.close()
    export_run(folder / "copy.sqlite", folder / "again.jsonl", "trl")
    assert (folder / "again.jsonl").read_bytes() == (folder / "out.jsonl").read_bytes()
    return back


def check(kind: str, prompt: str | tuple[ChatMessage, ...], texts: tuple[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        read = read_prompt(kind, prompt, folder)
        assert (read.messages or read.text) == prompt
        rollouts = [sampled(kind, read, text, number) for number, text in enumerate(texts)]
        assume(is_comparison(rollouts))
        query = asked(read, rollouts)
        assert (query.prompt_text, query.prompt_messages) == (read.text, read.messages)
        back = exported_and_imported(kind, query, folder)
    assert (back.prompt_text, back.prompt_messages) == (read.text, read.messages)
    assert back.prompt_token_ids == read.token_ids
    for before, after in zip(query.candidates, back.candidates, strict=True):
        assert (after.text, after.token_ids) == (before.text, before.token_ids)


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(CHATTING), chat=CHATS, texts=st.tuples(RESPONSES, RESPONSES))
@example(kind="chatml", chat=EVERY_ROLE, texts=("Warm.", " Warm, <|im_end|> and good."))
@example(kind="chatml", chat=EVERY_ROLE[:-1], texts=(" warm", " cold"))  # goes on with a turn
def test_a_chat_comes_back_token_for_token(
    kind: str, chat: tuple[ChatMessage, ...], texts: tuple[str, str]
) -> None:
    check(kind, chat, texts)


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(ALL), prompt=SAID, texts=st.tuples(RESPONSES, RESPONSES))
def test_a_plain_prompt_comes_back_token_for_token(
    kind: str, prompt: str, texts: tuple[str, str]
) -> None:
    check(kind, prompt, texts)
