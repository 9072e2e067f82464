"""The owner's client: what it asks, and what it makes of refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cluster.commands.owner_client import OwnerClient
from protocol.errors import InputError, MissingError, ResourceError


@pytest.fixture
def client(live_run: Any) -> Iterator[OwnerClient]:
    with OwnerClient.of_run(live_run.folder.path) as made:
        yield made


def test_every_decision_arrives_as_it_was_made(client: OwnerClient, live_run: Any) -> None:
    assert client.admit("cat", "labeler").link.startswith("/enter/")
    assert client.preview("bob", "exclude", 2).policy_versions == (21, 34)
    client.exclude("bob", 2, "clicks")
    client.reinstate("bob", "a mistake")
    client.revoke("bob", "left")
    assert client.pull_cord("it shouts").pulled_by == "owner"
    assert client.roll_back(20, "go back").rollback_to == 20
    assert live_run.queue.decisions == [
        ("exclude", "bob", "2", "clicks"),
        ("reinstate", "bob", "a mistake"),
        ("revoke", "bob", "left"),
        ("pull", "owner", "it shouts"),
        ("roll_back", "20", "go back"),
    ]


def test_a_refusal_is_the_run_s_own_words(client: OwnerClient) -> None:
    with pytest.raises(InputError, match="nobody is called 'eve'"):
        client.preview("eve", "exclude")
    client.roll_back(20, "go back")
    with pytest.raises(InputError, match="a rollback is under way"):
        client.release_cord("go on")


def test_a_release_names_the_reason_it_takes_away(client: OwnerClient, live_run: Any) -> None:
    for guard in ("kl_sign", "not_finite"):
        live_run.queue.pull(guard, f"{guard} saw it")
    [left] = client.release_cord("looked into kl_sign").reasons
    assert left.actor == "not_finite"
    assert live_run.queue.released == ["pull-0"]
    client.release_cord("again", "pull-0")
    assert not client.release_cord("looked into it").is_pulled
    assert live_run.queue.released == ["pull-0", "pull-0", "pull-1"]
    assert not client.release_cord("nothing is left").is_pulled


def test_what_the_run_would_refuse_is_not_sent(client: OwnerClient, live_run: Any) -> None:
    with pytest.raises(InputError, match="labeler_id 'no spaces'"):
        client.admit("no spaces", "labeler")
    with pytest.raises(InputError, match="reason ''"):
        client.exclude("bob", 0, "")
    assert live_run.queue.decisions == []


def test_a_token_of_another_run_is_refused(live_run: Any) -> None:
    live_run.folder.write_token("owner", "of-another-run")
    with (
        OwnerClient.of_run(live_run.folder.path) as client,
        pytest.raises(InputError, match="token is not known"),
    ):
        client.overview()


def test_a_run_that_is_not_there_is_said_so(live_run: Any) -> None:
    live_run.folder.update_state(state="starting")
    with pytest.raises(ResourceError, match="still starting"):
        OwnerClient.of_run(live_run.folder.path)
    live_run.end()
    with pytest.raises(ResourceError, match="is finished: this can only be done while it runs"):
        OwnerClient.of_run(live_run.folder.path)


def test_a_token_file_that_is_gone_is_named(live_run: Any) -> None:
    (live_run.folder.tokens / "owner").unlink()
    with pytest.raises(MissingError, match="tokens/owner is not there"):
        OwnerClient.of_run(live_run.folder.path)


def test_an_address_that_is_none_is_named(live_run: Any) -> None:
    live_run.folder.update_state(url="http://h:x")
    with pytest.raises(InputError, match=r"run\.json: url: 'http://h:x' is no URL"):
        OwnerClient.of_run(live_run.folder.path)


def test_whatever_listens_here_gets_no_token_of_a_run_elsewhere(live_run: Any) -> None:
    live_run.folder.update_state(host="elsewhere")
    with pytest.raises(ResourceError, match="runs on elsewhere: run this command there"):
        OwnerClient.of_run(live_run.folder.path)
    live_run.folder.update_state(url="https://andon.example.org")
    OwnerClient.of_run(live_run.folder.path)  # a public address is the same from everywhere


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.ConnectError("refused"), r"no answer from http://run \(refused\)"),
        (httpx.ReadTimeout(""), r"no answer from http://run \(ReadTimeout\)"),
        (httpx.Response(502, text="<html>"), "the run answered 502 without saying why"),
        (httpx.Response(200, text="<html>"), "http://run is not this run's label side"),
    ],
)
def test_no_answer_and_no_reason_are_one_line(
    answer: httpx.Response | Exception, says: str
) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with (
        OwnerClient("http://run", "token", httpx.MockTransport(handle)) as client,
        pytest.raises(ResourceError, match=says) as told,
    ):
        client.overview()
    assert "\n" not in str(told.value)
