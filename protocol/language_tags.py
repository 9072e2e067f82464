"""Language tags, such as "de" or "pt-BR": which are ones that browsers and screen readers know."""

from __future__ import annotations

LONGEST_TAG = 64
"""Characters of a tag, at most."""
MEND_TAG = 'want a BCP 47 language tag, e.g. "en", "pt-BR" or "zh-Hant"'


def why_no_language(tag: str) -> str | None:
    """Return what is wrong with a language tag; None where it is one (BCP 47, RFC 5646).

    Its parts must be registered ones: "jp" has the right form, and Japanese is "ja".
    """
    # Its tables are read where a tag is looked at, and only there.
    from langcodes import tag_is_valid

    # That takes the "_" of POSIX's locales too, and HTML does not.
    if len(tag) > LONGEST_TAG or "_" in tag or not tag_is_valid(tag):
        return f"{tag[:LONGEST_TAG]!r} is no language: {MEND_TAG}"
    return None
