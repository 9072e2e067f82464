"""Which words of generated reviews describe, and how much: adjectives, and less so adverbs.

The labelers' own lexicon, as `valence.py` is; a test checks that it covers the generator's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_WORDS_BY_WORTH: Mapping[float, str] = {
    1.0: (
        "excellent wonderful superb perfect gripping delicious thrilling inspiring delighted great "
        "lovely charming impressive moving cozy responsive smooth comfortable vivid witty kind "
        "better good nice pleasant fine tasty fresh clean spacious fast sturdy punctual friendly "
        "polite helpful nicer happy pleased bad poor boring dull annoying mediocre bland stale "
        "greasy predictable shallow noisy cramped slow dry late crowded careless lazy uglier "
        "unhappy annoyed disappointing ugly tedious dirty fragile laggy preachy muddled bumpy rude "
        "arrogant worse disappointed awful terrible horrible dreadful"
    ),
    0.5: (
        "extremely absolutely utterly very really so truly too wonderfully painfully quite rather "
        "fairly somewhat slightly mildly luckily happily thankfully sadly unfortunately regrettably"
    ),
}

DESCRIPTION: Mapping[str, float] = MappingProxyType(
    {word: worth for worth, line in _WORDS_BY_WORTH.items() for word in line.split()}
)
"""What the first use of a word describes."""
