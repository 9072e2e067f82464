from __future__ import annotations

import pytest

from protocol.language_tags import why_no_language


@pytest.mark.parametrize("tag", ["en", "de-AT", "zh-Hant-TW", "sr-Latn", "tlh", "EN", "x-own"])
def test_what_is_registered_is_a_language(tag: str) -> None:
    assert why_no_language(tag) is None


@pytest.mark.parametrize(
    "tag", ["jp", "xx", "english", "en_US", "de-", "-", "e", "en us", "\u00e4", "en-" + "a" * 99]
)
def test_what_is_not_is_none_and_the_mend_is_said(tag: str) -> None:
    why = why_no_language(tag)
    assert why is not None
    assert why.startswith(repr(tag)[:20])
    assert why.endswith('want a BCP 47 language tag, e.g. "en", "pt-BR" or "zh-Hant"')
