"""What each word does to the gold score: valences, intensifiers, negations, contrasts.

The labelers' own lexicon. It knows nothing of how reviews are generated; that it covers the words
of the generator is checked by a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_WORDS_BY_VALENCE: Mapping[float, str] = {
    1.5: (
        "excellent wonderful superb perfect gripping delicious thrilling inspiring loved love "
        "success delighted"
    ),
    1.0: (
        "great lovely charming impressive moving cozy responsive smooth comfortable vivid witty "
        "kind joy treat recommend better"
    ),
    0.6: (
        "good nice pleasant fine tasty fresh clean spacious fast sturdy punctual friendly polite "
        "helpful enjoyed liked enjoy nicer happy pleased"
    ),
    -0.6: (
        "bad poor boring dull annoying mediocre bland stale greasy predictable shallow noisy "
        "cramped slow dry late crowded careless lazy disliked regretted dislike avoid uglier "
        "unhappy annoyed"
    ),
    -1.0: (
        "disappointing ugly tedious dirty fragile laggy preachy muddled bumpy rude arrogant waste "
        "worse disappointed"
    ),
    -1.5: "awful terrible horrible dreadful hated hate disaster failure",
}

VALENCE: Mapping[str, float] = MappingProxyType(
    {word: valence for valence, line in _WORDS_BY_VALENCE.items() for word in line.split()}
)
"""How good (positive) or bad (negative) a word is that nothing turns round."""

INTENSITY: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("extremely", "absolutely", "utterly"), 2.0),
        **dict.fromkeys(("very", "really", "so", "truly", "too", "wonderfully", "painfully"), 1.5),
        **dict.fromkeys(("quite", "rather", "fairly"), 0.8),
        **dict.fromkeys(("somewhat", "slightly", "mildly"), 0.4),
    }
)
"""Factor on the next sentiment word."""

NEGATION: Mapping[str, float] = MappingProxyType(
    {"not": -0.75, "never": -1.0, "hardly": -0.5, "less": -0.5}
)
"""Factor on the next sentiment word: "not bad" is good, but less so than "bad" is bad."""

CONTRASTS = frozenset({"but", "yet", "however"})
"""What follows weighs more than what came before."""

CONCESSIONS = frozenset({"although", "though", "while"})
"""What follows, up to the next mark, weighs less than the rest of the sentence."""
