"""The setup that docs/connectors.md gives fits what is sent and what is understood."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from xml.etree import ElementTree

from label_queue.connector_config import KafkaConfig, RedisConfig
from label_queue.connectors.argilla_values import MARKS, PREFERENCE
from label_queue.connectors.label_studio_results import READERS, VERDICTS
from label_queue.connectors.port import Annotation, Deletion, letter_of
from label_queue.connectors.stream_messages import read_message
from tests.support.labels import make_config
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")
SENT = {"prompt", "items", *(letter_of(i) for i in range(4))}
RESULT_TYPES = {
    "Choices": "choices",
    "Pairwise": "pairwise",
    "Ranker": "ranker",
    "Rating": "rating",
    "TextArea": "textarea",
    "Labels": "labels",
}


def test_the_labeling_configurations_show_what_is_sent() -> None:
    views = [ElementTree.fromstring(block) for block in re.findall(r"```xml\n(.*?)```", TEXT, re.S)]
    assert len(views) == 3
    for view in views:
        shown = {each.get("value", "") for each in view.iter() if each.tag in ("Text", "List")}
        assert all(value[0] == "$" and value[1:] in SENT for value in shown)
        names = {each.get("name") for each in view.iter() if each.get("name")}
        for control in (each for each in view.iter() if each.get("toName")):
            assert RESULT_TYPES[control.tag] in READERS
            assert set(control.get("toName", "").split(",")) <= names
        choices = {each.get("value") for each in view.iter("Choice")}
        assert choices <= {*VERDICTS, *SENT}


def test_the_argilla_settings_ask_what_is_understood() -> None:
    [block] = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    names = re.findall(r'Question\(name="(\w+)"', block)
    assert names == [PREFERENCE, "strength", "comment"]
    assert f"`{MARKS}a`" in TEXT
    compile(block, "docs/connectors.md", "exec")


def test_the_streams_that_are_shown_are_configs_and_messages() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    [redis], [kafka] = (tomllib.loads(block)["labels"]["connectors"] for block in blocks)
    found = make_config(connectors=[redis, kafka]).connectors
    assert [type(config) for config in found] == [RedisConfig, KafkaConfig]
    said = [read_message(text.encode(), "docs") for text in re.findall(r"label '(\{.*?\})'", TEXT)]
    assert [type(each) for each in said] == [Annotation, Deletion]
    [sent] = re.findall(r"echo '17:(\{.*?\})'", TEXT)
    assert isinstance(read_message(sent.encode(), "docs"), Annotation)


def test_the_redis_commands_that_are_shown_are_taken_by_a_server(redis: RedisServer) -> None:
    for line in re.findall(r"^redis-cli (.*)$", TEXT, re.M):
        redis.client.execute_command(*shlex.split(line))
    assert redis.client.xlen("labels") == 2
    redis.client.acl_deluser("andon")
    redis.client.delete("labels")
