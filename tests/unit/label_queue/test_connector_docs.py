"""The setup that docs/connectors.md gives fits what is sent and what is understood."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from label_queue.connectors.argilla_values import MARKS, PREFERENCE
from label_queue.connectors.label_studio_results import READERS, VERDICTS
from label_queue.connectors.port import letter_of

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
