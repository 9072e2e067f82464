"""The pages' scripts, styles, words and pictures, read once and served by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from label_queue.intake.rendering import PAGES

CONTENT_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it goes out."""

    content: bytes
    content_type: str
    etag: str


def load_assets(folder: Path = PAGES / "static") -> dict[str, Asset]:
    """Return all assets by their path below the folder. What is not among them is not served."""
    assets = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in CONTENT_TYPES:
            content = path.read_bytes()
            assets[path.relative_to(folder).as_posix()] = Asset(
                content=content,
                content_type=CONTENT_TYPES[path.suffix],
                etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            )
    return assets


router = APIRouter(include_in_schema=False)


@router.api_route("/static/{name:path}", methods=["GET", "HEAD"])
async def asset(request: Request, name: str) -> Response:
    """Return an asset, or 304 where the browser has this very one."""
    assets: dict[str, Asset] = request.app.state.assets
    found = assets.get(name)
    if found is None:
        raise HTTPException(404)
    # Always asked for again, since a name is not changed with its content; mostly answered 304.
    headers = {
        "ETag": found.etag,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'",
    }
    sent = request.headers.get("if-none-match", "")
    if found.etag in (tag.strip().removeprefix("W/") for tag in sent.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.content_type, headers=headers)
