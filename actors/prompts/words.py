"""The words of the review grammar, by class.

Every sentiment word has one polarity wherever it stands, so that what a clause says is decided by
how its words are put together. Subjects bring their own nouns and adjectives; all else is shared.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a review is about, and the words that fit it only."""

    name: str
    """What the reviewer calls it, e.g. "restaurant"."""
    aspects: tuple[str, ...]
    """Singular nouns that can be judged, e.g. "soup"."""
    people: tuple[str, ...]
    """Singular nouns for those who serve or make it, e.g. "waiter"."""
    acts: tuple[str, ...]
    """What the reviewer did there, past tense, without judgement, e.g. "visited"."""
    positive: tuple[str, ...]
    negative: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SUBJECTS = (
    Subject(
        name="restaurant",
        aspects=_words(
            "soup salad pasta steak bread dessert menu wine sauce fish burger table curry rice "
            "cheese coffee pizza sandwich kitchen"
        ),
        people=_words("waiter chef waitress"),
        acts=_words("visited tried booked"),
        positive=_words("delicious tasty fresh"),
        negative=_words("bland stale greasy"),
    ),
    Subject(
        name="film",
        aspects=_words(
            "plot ending script music scenery dialogue pacing camera opening soundtrack cast story "
            "finale editing costume lighting trailer"
        ),
        people=_words("actor actress director"),
        acts=_words("watched saw streamed"),
        positive=_words("gripping moving thrilling"),
        negative=_words("predictable shallow tedious"),
    ),
    Subject(
        name="hotel",
        aspects=_words(
            "room bed lobby pool breakfast view shower carpet balcony bathroom bar garden terrace "
            "elevator mattress window parking"
        ),
        people=_words("receptionist porter cleaner"),
        acts=_words("reserved chose visited"),
        positive=_words("clean cozy spacious"),
        negative=_words("dirty noisy cramped"),
    ),
    Subject(
        name="phone",
        aspects=_words(
            "screen battery speaker charger keyboard case button software design microphone lens "
            "cable display antenna handset alarm"
        ),
        people=_words("seller technician"),
        acts=_words("bought ordered replaced"),
        positive=_words("fast sturdy responsive"),
        negative=_words("slow fragile laggy"),
    ),
    Subject(
        name="book",
        aspects=_words(
            "chapter prose hero villain cover premise style structure preface translation argument "
            "setting epilogue glossary binding"
        ),
        people=_words("author narrator editor"),
        acts=_words("read finished borrowed"),
        positive=_words("vivid witty inspiring"),
        negative=_words("dry preachy muddled"),
    ),
    Subject(
        name="flight",
        aspects=_words(
            "seat meal cabin boarding landing takeoff luggage lounge blanket legroom schedule gate "
            "transfer pillow aisle"
        ),
        people=_words("pilot steward crew"),
        acts=_words("took booked chose"),
        positive=_words("smooth punctual comfortable"),
        negative=_words("bumpy late crowded"),
    ),
)

POSITIVE_ADJECTIVES = _words(
    "good great nice lovely excellent wonderful superb perfect pleasant charming impressive fine"
)
NEGATIVE_ADJECTIVES = _words(
    "bad poor awful terrible horrible dreadful boring annoying disappointing mediocre ugly dull"
)
POSITIVE_MANNERS = _words("friendly polite helpful kind")
NEGATIVE_MANNERS = _words("rude careless lazy arrogant")
POSITIVE_PAST_VERBS = _words("loved enjoyed liked")
NEGATIVE_PAST_VERBS = _words("hated disliked regretted")
POSITIVE_VERBS = _words("love enjoy recommend")
NEGATIVE_VERBS = _words("hate dislike avoid")
POSITIVE_NOUNS = _words("joy treat success")
NEGATIVE_NOUNS = _words("disaster waste failure")
POSITIVE_COMPARATIVES = _words("better nicer")
NEGATIVE_COMPARATIVES = _words("worse uglier")
POSITIVE_FEELINGS = _words("happy pleased delighted")
NEGATIVE_FEELINGS = _words("unhappy disappointed annoyed")

INTENSIFIERS = _words("very really extremely so")
# The praising and the blaming lean one way without saying anything good or bad by themselves.
PRAISING_INTENSIFIERS = _words("truly absolutely wonderfully")
BLAMING_INTENSIFIERS = _words("too utterly painfully")
PRAISING_OPENERS = _words("luckily happily thankfully")
BLAMING_OPENERS = _words("sadly unfortunately regrettably")
SOFTENERS = _words("quite rather fairly slightly somewhat mildly")
NEGATIONS = _words("not never hardly")
CONTRASTS = _words("but yet")
CONCESSIONS = _words("although though while")

COMPANIONS = _words(
    "wife husband brother sister friends parents children colleagues cousin aunt uncle nephew "
    "neighbor teacher boss doctor"
)
TIMES = _words(
    "january february march april may june july august september october november december"
)
OCCASIONS = _words(
    "birthday holiday anniversary wedding weekend vacation reunion meeting festival conference "
    "concert exam"
)
REASONS = _words("curiosity habit necessity impulse loyalty nostalgia hunger duty")
CITIES = _words(
    "paris london berlin madrid boston chicago rome oslo vienna dublin lisbon prague tokyo seoul "
    "cairo lima denver austin geneva milan athens warsaw zurich naples venice havana delhi dakar"
)
MEASURES = _words("two three four five six seven eight nine ten")
SPANS = _words("days weeks months years hours")
SOURCES = _words("brochure website poster newspaper guide magazine advert catalog leaflet podcast")


def positive_words() -> frozenset[str]:
    """Return every word that says something good where nothing turns it round."""
    shared = (
        POSITIVE_ADJECTIVES
        + POSITIVE_MANNERS
        + POSITIVE_PAST_VERBS
        + POSITIVE_VERBS
        + POSITIVE_NOUNS
        + POSITIVE_COMPARATIVES
        + POSITIVE_FEELINGS
    )
    return frozenset(shared).union(*(subject.positive for subject in SUBJECTS))


def negative_words() -> frozenset[str]:
    """Return every word that says something bad where nothing turns it round."""
    shared = (
        NEGATIVE_ADJECTIVES
        + NEGATIVE_MANNERS
        + NEGATIVE_PAST_VERBS
        + NEGATIVE_VERBS
        + NEGATIVE_NOUNS
        + NEGATIVE_COMPARATIVES
        + NEGATIVE_FEELINGS
    )
    return frozenset(shared).union(*(subject.negative for subject in SUBJECTS))
