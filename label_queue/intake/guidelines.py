"""The owner's Markdown guidelines as harmless markup: no HTML, no image, no link to follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

FIRST_HEADING = 3
"""Level of the text's highest headings: the page and its panel have headings above them."""


def render_guidelines(markdown: str) -> Markup:
    """Return Markdown as markup. Links become their text with the address in brackets."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.add_render_rule("link_open", _open_link)
    parser.add_render_rule("link_close", _close_link)
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            level = int(token.tag[1:])
            token.tag = f"h{min(6, level + FIRST_HEADING - 1)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _open_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    env.setdefault("addresses", []).append(str(tokens[index].attrGet("href")))
    return '<span class="address">'


def _close_link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    address = env["addresses"].pop()
    return f"</span> ({Markup.escape(address)})"
