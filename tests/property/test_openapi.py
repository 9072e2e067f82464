"""Whatever is sent to the HTTP face, it answers as its own OpenAPI says, and never with a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from tests.support.face import Face, quick_limits
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.labels import make_config

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT = build_app(FakePeopleQueue(), IntakeConfig()).openapi()
OPERATIONS = sorted(
    (path, method) for path, operations in DOCUMENT["paths"].items() for method in operations
)
STREAM = "/api/v1/owner/stream"
SETTINGS = settings(
    max_examples=50,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    config = make_config(total=200, initial=200, refits=1, intake=quick_limits())
    face = Face(tmp_path / "ledger.sqlite", config)
    application: Any = face
    with asgi.get_client(application):
        yield face
    asgi.shutdown_lifespans()


def without_tuples(node: Any) -> Any:
    """Say "a list of two integers" for "a pair of integers".

    Schemathesis 4.32 makes no valid schema of a tuple inside `anyOf`.
    """
    if isinstance(node, list):
        return [without_tuples(each) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {key: without_tuples(value) for key, value in node.items()}
    if members := plain.pop("prefixItems", None):
        plain["items"] = {"anyOf": members}
    return plain


def aim(case: Case[Any], face: Face, number: int) -> None:
    """Let a request name what there is: random ids only ever reach the first check."""
    assignments, queries = list(face.assignments.items()), list(face.queries.items())
    assignment_id, shown = assignments[number % len(assignments)]
    query_id, candidates = queries[number % len(queries)]
    known = {"assignment_id": assignment_id, "labeler_id": "ann"}
    parameters = case.path_parameters or {}
    parameters.update({name: known[name] for name in parameters if name in known})
    if not isinstance(case.body, dict):
        return
    if "assignment_id" in case.body:
        case.body |= {"assignment_id": assignment_id, "choice": shown[number % len(shown)]}
    elif "query_id" in case.body:
        case.body |= {"query_id": query_id, "choice": candidates[number % len(candidates)]}
    elif "to_version" in case.body:
        case.body["to_version"] = number % 2


@pytest.mark.parametrize("name", ["ann", "olga"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_documented_and_none_is_a_failure(
    face: Face, path: str, method: str, name: str
) -> None:
    schema = schemathesis.openapi.from_dict(without_tuples(DOCUMENT))
    schema.app = face
    schema.config.max_stream_events = 1  # that stream never ends by itself
    headers = {"Authorization": f"Bearer {face.tokens[name]}"}
    # OpenAPI 3.1 has no word for what one event of a stream is.
    checks = [c for c in CHECKS if path != STREAM or c is not response_schema_conformance]
    numbers = cycle(range(1_000))
    good, bad = (schema[path][method].as_strategy(mode) for mode in GenerationMode)

    @SETTINGS
    @given(case=good | bad)
    def send(case: Case[Any]) -> None:
        number = next(numbers)
        if number % 2:
            aim(case, face, number)
        case.call_and_validate(base_url="http://127.0.0.1", headers=headers, checks=checks)

    send()
