"""Pages made from templates, each with the headers that keep it harmless."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from label_queue.intake.languages import COOKIE, COOKIE_S, Language, chosen, language_of

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


def render_notice(
    request: Request,
    heading: str,
    text: str,
    *,
    status: int,
    headers: Mapping[str, str] | None = None,
    detail: str = "",
    template: str = "notice.html",
    **context: Any,
) -> HTMLResponse:
    """Return a page that says one thing.

    Args:
        request: What is answered.
        heading: Name of the words of its heading, e.g. "signed_out.heading".
        text: Name of the words below it.
        status: Of the answer.
        headers: More of them.
        detail: What is to be added in English.
        template: One that extends `notice.html`, if more is to be seen.
        **context: What that shows; and what is filled into the words.
    """
    say = language_of(request).say
    return render(
        request,
        template,
        status=status,
        headers=headers,
        heading=say(heading, **context),
        text=say(text, **context),
        detail=detail,
        **context,
    )


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    referrer_policy: str = "no-referrer",
    language: Language | None = None,
    **context: object,
) -> HTMLResponse:
    """Return a page. Everything in `context` is escaped, unless it is markup of our own.

    Args:
        request: What is answered. A choice of language that it makes is kept in a cookie.
        template: Its file.
        status: Of the answer.
        headers: More of them.
        referrer_policy: What the page tells other pages of its address.
        language: None: what `language_of` says.
        **context: What the template shows.
    """
    nonce = secrets.token_urlsafe(16)
    shown = language or language_of(request)
    page = _templates.get_template(template).render(
        nonce=nonce,
        root=root_of(request),
        language=shown,
        languages=request.app.state.languages.values(),
        say=shown.say,
        **context,
    )
    answer = HTMLResponse(
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
    choice = chosen(request)
    if choice is not None:
        answer.set_cookie(
            COOKIE,
            choice,
            max_age=COOKIE_S,
            path=root_of(request) or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
    return answer
