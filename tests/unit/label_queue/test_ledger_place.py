"""A ledger's place: a path, or a URL that holds no password; nothing of one that does is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_queue.ledger_place import check_url, place_of
from protocol.errors import InputError

SECRET = "tr0ub4dor"
GOOD = (
    "postgresql://",
    "postgresql://db.example/andon",
    "postgres://ann@db.example:5432/andon",
    "postgresql://ann@[::1]:5432/andon?sslmode=verify-full",
    "postgresql://ann@one:1,two:2/andon?target_session_attrs=read-write",
    "postgresql://ann@/andon?host=/run/postgresql&options=-csearch_path%3Drun_1",
    "postgresql://a%3Ab@db/x%2Fy",
)
WITH_PASSWORD = (
    f"postgresql://ann:{SECRET}@db/andon",
    f"postgresql://ann:{SECRET}/1@db/andon",
    f"postgresql://ann:{SECRET}#1@db/andon",
    f"postgresql://ann:{SECRET}?1@db/andon",
    f"postgresql://ann:12?{SECRET}@db/andon",
    f"postgresql://ann:12/{SECRET}@db/andon",
    f"postgresql://ann:{SECRET} x@db/andon",
    f"postgresql://:{SECRET}@db/andon",
    f"postgresql://db/andon?password={SECRET}",
    f"postgresql://db/andon?user=ann&password={SECRET}",
    f"postgresql://db/andon?sslpassword={SECRET}",
    f"postgresql://db/andon?oauth_client_secret={SECRET}",
    f"postgresql://db/andon?pass%77ord={SECRET}",
    f"postgresql+psycopg://ann:{SECRET}@db/andon",
    f"mysql://ann:{SECRET}@db/andon",
    f"postgresql:/ann:{SECRET}@db/andon",
)


@pytest.mark.parametrize("url", GOOD)
def test_a_url_without_a_password_is_taken(url: str) -> None:
    assert check_url(url) == place_of(url, "LEDGER") == url


@pytest.mark.parametrize("url", WITH_PASSWORD)
def test_a_password_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InputError, match=r"^LEDGER: want postgresql://.* PGPASSWORD") as refused:
        place_of(url, "LEDGER")
    assert SECRET not in repr(refused.value) + repr(refused.value.__cause__)


@given(st.text(alphabet="ab1:/@?#&=%[], .", max_size=12), st.text("x@:/?#&= ", max_size=4))
def test_no_url_with_text_between_colon_and_at_sign_is_taken(name: str, rest: str) -> None:
    """What the library may read as a password never comes through, whatever surrounds it."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    url = f"postgresql://{name}:{SECRET}{rest}@db/andon"
    try:
        check_url(url)
    except InputError:
        return
    try:
        read = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return
    assert SECRET not in str(read.get("password"))


@pytest.mark.parametrize("text", ["ledger.sqlite", "runs/demo-1", "/a:b/c", "a#1", "postgresql"])
def test_all_else_is_a_path(text: str) -> None:
    assert place_of(text, "LEDGER") == Path(text)
