"""What gold scores of generated reviews have in common: clauses, and what repetition costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from label_queue.simulated.gold.valence import CONCESSIONS, CONTRASTS

SHORT_CLAUSE_WORDS = 3
SHORT_CLAUSE_FACTOR = 0.5
"""Worth of a clause of fewer than `SHORT_CLAUSE_WORDS` words."""
REPEAT_FACTOR = 0.5
"""Worth of a further word that counts in a clause, and of a further use of a word in a text."""
DOUBLED_WORD_COST = 0.5
REPEATED_RUN_COST = 0.25

_MARKS = frozenset({".", ",", "and"})


@dataclass(slots=True)
class Clause:
    """Words between two cuts, and what joins the clause to its neighbours."""

    sentence: int
    opener: str
    words: list[str] = field(default_factory=list)

    @property
    def factor(self) -> float:
        """What multiplies the worth of its words."""
        return SHORT_CLAUSE_FACTOR if len(self.words) < SHORT_CLAUSE_WORDS else 1.0


def cut_into_clauses(tokens: Sequence[str]) -> list[Clause]:
    """Cut a text at its marks and connectives; clauses without words are left out."""
    clauses = [Clause(sentence=0, opener="")]
    for token in tokens:
        last = clauses[-1]
        if token in CONTRASTS or token in CONCESSIONS:
            clauses.append(Clause(sentence=last.sentence, opener=token))
        elif token in _MARKS:
            # "however , it was good": the comma does not part the connective from its clause.
            opener = last.opener if not last.words and last.opener in CONTRASTS else ""
            clauses.append(Clause(sentence=last.sentence + (token == "."), opener=opener))
        else:
            last.words.append(token)
    return [clause for clause in clauses if clause.words]


def repetition_cost(tokens: Sequence[str]) -> float:
    """Return what doubled words and repeated runs of three words cost."""
    doubled = sum(first == second for first, second in pairwise(tokens))
    runs = Counter(zip(tokens, tokens[1:], tokens[2:], strict=False))
    repeated = sum(count - 1 for count in runs.values())
    return DOUBLED_WORD_COST * doubled + REPEATED_RUN_COST * repeated


def remembered(scores: Iterable[float], gamma: float) -> float:
    """Return what a reader keeps of clauses: one n clauses before the last counts gamma^n."""
    value = 0.0
    for score in scores:
        value = gamma * value + score
    return value
