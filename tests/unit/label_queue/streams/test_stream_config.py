"""What the config of a stream may say, and what is checked before anything starts."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from label_queue.connector_config import KafkaConfig, RedisConfig
from label_queue.connectors.outposts import check_tools
from protocol.errors import ConfigError, MissingError
from tests.support.labels import make_config

REDIS: dict[str, object] = {
    "kind": "redis",
    "url": "rediss://db.example.org:6380/2",
    "stream": "labels",
    "tasks_stream": "tasks",
    "username": "andon",
    "password_env": "REDIS_PASSWORD",
    "ca_path": "ca.pem",
}
KAFKA: dict[str, object] = {
    "kind": "kafka",
    "brokers": ["one.example.org:9093", "[::1]:9093"],
    "topic": "labels",
    "tasks_topic": "tasks",
    "tls": True,
    "sasl": "SCRAM-SHA-512",
    "username": "andon",
    "password_env": "KAFKA_PASSWORD",
    "ca_path": "ca.pem",
}


def test_a_config_names_its_streams() -> None:
    redis, kafka = make_config(connectors=[REDIS, KAFKA]).connectors
    assert isinstance(redis, RedisConfig)
    assert isinstance(kafka, KafkaConfig)
    assert (redis.name, kafka.name) == ("redis", "kafka")
    assert redis.has_tls
    assert kafka.has_tls
    assert redis.secret_variables == ("REDIS_PASSWORD",)
    assert kafka.ca_path == Path.cwd() / "ca.pem"


@pytest.mark.parametrize(
    ("given", "changes", "problem"),
    [
        (REDIS, {"url": "http://db"}, "want redis://HOST:PORT/DATABASE"),
        (REDIS, {"url": "redis://"}, "want redis://HOST:PORT/DATABASE"),
        (REDIS, {"url": "redis://db/name"}, "want redis://HOST:PORT/DATABASE"),
        (REDIS, {"url": "redis://db:0x1"}, "url"),
        (REDIS, {"url": "redis://:secret@db"}, "take user, password"),
        (REDIS, {"url": "redis://db?password=secret"}, "take user, password"),
        (REDIS, {"url": "redis://db"}, "ca_path: of no use without TLS"),
        (REDIS, {"password": "secret"}, "password"),
        (REDIS, {"password_env": None}, "set password_env"),
        (REDIS, {"tasks_stream": "labels"}, "want another stream"),
        (REDIS, {"key_path": "key.pem"}, "certificate_path and key_path: set both"),
        (REDIS, {"stream": ""}, "stream"),
        (REDIS, {"batch_size": 0}, "batch_size"),
        (KAFKA, {"brokers": []}, "brokers"),
        (KAFKA, {"brokers": ["one"]}, "want HOST:PORT"),
        (KAFKA, {"brokers": ["one:9092,two:9092"]}, "brokers"),
        (KAFKA, {"brokers": ["me:secret@one:9092"]}, "take user and password"),
        (KAFKA, {"tls": False}, "ca_path: of no use without TLS"),
        (KAFKA, {"sasl": None}, "sasl and username: set both"),
        (KAFKA, {"username": None}, "sasl and username: set both"),
        (KAFKA, {"sasl": None, "username": None}, "password_env: of no use without sasl"),
        (KAFKA, {"sasl": "GSSAPI"}, "sasl"),
        (KAFKA, {"topic": "a b"}, "topic"),
        (KAFKA, {"tasks_topic": "labels"}, "want another topic"),
    ],
)
def test_a_bad_stream_is_refused_by_name(
    given: dict[str, object], changes: dict[str, object], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem) as refused:
        make_config(connectors=[{**given, **changes}])
    kept = [error for error in refused.value.errors() if error["type"] != "extra_forbidden"]
    assert "secret" not in "".join(error["msg"] for error in kept)


@pytest.mark.parametrize("given", [REDIS, KAFKA], ids=["redis", "kafka"])
def test_secrets_and_files_are_looked_for_before_anything_starts(
    given: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    [config] = make_config(connectors=[{**given, "ca_path": path}]).connectors
    variable = str(given["password_env"])
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match=f"the environment variable {variable} is empty"):
        check_tools([config])
    monkeypatch.setenv(variable, "p")
    with pytest.raises(MissingError, match=rf"\({config.name}\): ca_path: no file {path}"):
        check_tools([config])
    path.touch()
    check_tools([config])


@pytest.mark.parametrize(
    ("given", "package"), [(REDIS, "redis"), (KAFKA, "confluent_kafka")], ids=["redis", "kafka"]
)
def test_without_the_library_the_extra_is_named(
    given: dict[str, object], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return whole(name, *arguments, **more)

    monkeypatch.setenv(str(given["password_env"]), "p")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingError, match=rf"pip install 'andon\[{given['kind']}\]'"):
        check_tools(make_config(connectors=[given]).connectors)
