"""Which connectors a run ever had: one that it has no more may come back, by the name it had.

Of a run that is resumed the config says only which there were last. So `run.json` keeps all of
them, as they were each time: a name or a place that one had is never another's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cluster.config import RunConfig
from cluster.run_folder import RunFolder
from cluster.run_state import garbled
from label_queue.connector_config import ConnectorConfig
from label_queue.connectors.places import without_doubles

_CONNECTORS: TypeAdapter[tuple[ConnectorConfig, ...]] = TypeAdapter(tuple[ConnectorConfig, ...])
KEY = "connectors"


def connectors_so_far(
    folder: RunFolder, state: Mapping[str, Any], last: RunConfig
) -> tuple[ConnectorConfig, ...]:
    """Return the connectors that a run had up to now, each as it was, those of old first.

    Args:
        folder: The run's.
        state: What its `run.json` says.
        last: The config that it ran with last; of older runs that is all that is known.

    Raises:
        InputError: `run.json` says of one what no connector is.
    """
    try:
        noted = _CONNECTORS.validate_json(json.dumps(state.get(KEY) or []))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, (KEY, *problem["loc"])))
        raise garbled(folder.state, f"{key}: {problem['msg']}") from error
    return without_doubles((*noted, *last.labels.connectors))


def note_connectors(
    folder: RunFolder, so_far: tuple[ConnectorConfig, ...], config: RunConfig
) -> None:
    """Write down the connectors that a run had and will have, before its config is another."""
    known = without_doubles((*so_far, *config.labels.connectors))
    folder.update_state(**{KEY: _CONNECTORS.dump_python(known, mode="json")})
