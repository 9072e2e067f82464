from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.watching.ways_in import scraped_at, way_to_the_pages, ways_in

AT = "https://label.example.org/run-a"
TOOL: dict[str, Any] = {"url": "http://127.0.0.1:6900", "token_env": "TOKEN"}
CONNECTORS: list[dict[str, Any]] = [
    {"kind": "label_studio", "project_id": 1, "hook_secret_env": "SECRET", **TOOL},
    {"kind": "argilla", "dataset_id": "0" * 36, **TOOL},  # its webhooks are refused
    {"kind": "jsonl", "path": "/labels.jsonl"},
]


def config_of(**sections: object) -> RunConfig:
    content = {"people": ["ann"], "prompts": {}, "policy": {"path": "model"}, **sections}
    return parse_config(content, "test")


def test_people_and_tools_are_told_the_whole_address() -> None:
    config = config_of(labels={"connectors": CONNECTORS})
    assert ways_in(config, AT, {"ann": "/enter/x"}) == [
        f"ann labels at {AT}/enter/x (the link works once)",
        f"webhooks of label_studio go to {AT}/hooks/label_studio",
    ]


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, f"label at {AT}/ · andon label runs/a-1"),
        (
            {"people": [], "run": {"mode": "fixed", "reward": "reward"}},
            f"oversee at {AT}/ · andon label --owner runs/a-1",
        ),
    ],
)
def test_whoever_looks_is_told_where_the_pages_are(sections: dict[str, Any], said: str) -> None:
    assert way_to_the_pages(config_of(**sections), AT, Path("runs/a-1")) == said


def test_who_scrapes_metrics_is_told_where_they_are() -> None:
    (own,), (cluster,) = scraped_at("http://127.0.0.1:9/metrics"), scraped_at(None)
    assert own.startswith("Prometheus scrapes http://127.0.0.1:9/metrics; ")
    assert cluster.startswith("Prometheus scrapes each node's port of ray start --metrics-export")
