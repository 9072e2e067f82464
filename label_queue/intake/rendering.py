"""Pages made from templates, each with the headers that keep it harmless."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

PAGES = Path(__file__).parent / "pages"

_templates = Environment(
    loader=FileSystemLoader(PAGES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def content_security_policy(nonce: str) -> str:
    """Return the policy of a page: our own scripts and styles, and nothing from elsewhere.

    Trusted Types, where the browser knows them, make every way from a string to markup fail.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def root_of(request: Request) -> str:
    """Return what stands before every path where the browser is: "/run-a", or ""."""
    root: str = request.scope.get("root_path", "")
    return root


def render(
    template: str,
    *,
    root: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    referrer_policy: str = "no-referrer",
    **context: object,
) -> HTMLResponse:
    """Return a page. Everything in `context` is escaped, unless it is markup of our own.

    `root` is what `root_of` says: the page's addresses begin with it.
    """
    nonce = secrets.token_urlsafe(16)
    page = _templates.get_template(template).render(nonce=nonce, root=root, **context)
    return HTMLResponse(
        page,
        status_code=status,
        headers={
            "Content-Security-Policy": content_security_policy(nonce),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": referrer_policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
            **(headers or {}),
        },
    )
