"""Reading what a folder says of its files: one JSON object of a known form."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from protocol.errors import BundleCorrupt

ManifestT = TypeVar("ManifestT", bound=BaseModel)


def parse_manifest(path: Path, kind: type[ManifestT]) -> ManifestT:
    """Return a manifest that is there.

    Args:
        path: The file.
        kind: Its form.

    Raises:
        BundleCorrupt: It is unreadable or of another form; the field is named.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BundleCorrupt(f"{path}: {field or 'file'}: {first['msg']}") from error
