"""Whether a text overlaps with an evaluation set.

A text overlaps with an evaluation text in one of four ways, the surest first:

- ``exact``: character for character;
- ``normalised``: the same letters and digits in the same order, after Unicode NFKC and case
  folding; white space and punctuation do not count, so tokenised text equals the text it came from;
- ``contained``: the evaluation text stands in it, as a run of whole words;
- ``near``: their words and pairs of neighbouring words have at least a given Jaccard similarity.

Near texts are found by MinHash (Broder 1997) and locality-sensitive hashing, then verified. Short
texts ("thank you") occur everywhere and are no leak: they are counted and not judged.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal, NamedTuple, TypeVar

import regex
from rensa import RMinHash, RMinHashLSH

from onetrunk.errors import UserError

_T = TypeVar("_T")

Kind = Literal["exact", "normalised", "contained", "near"]
KINDS: tuple[Kind, ...] = ("exact", "normalised", "contained", "near")
"""The surest first."""

# 32 bands of 4: a pair becomes a candidate with probability 1 - (1 - s^4)^32, which is 0.99 at a
# similarity s of 0.6, 0.999 at 2/3 and 0.003 at 0.1.
SKETCH, BANDS, SEED = 128, 32, 0
_CHUNK = 4096

# As in onetrunk.data.rows, but punctuation and symbols are no words.
_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}"
_WORD = regex.compile(rf"(?V1)[{_CJK}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_CJK}]]+")


def normalised_words(text: str) -> list[str]:
    """The words of a text after Unicode NFKC and case folding, without punctuation.

    A CJK character is a word. Penn Treebank tokens are put together again where it matters: ``do
    n't`` gives the words of ``don't``.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(folded.replace(" n't", "n't").replace(" n’t", "n’t"))


def shingles(words: Sequence[str]) -> set[str]:
    """Words and pairs of neighbouring words.

    One word replaced among n different ones leaves a Jaccard similarity of (2n - 4) / (2n + 2) or
    more: 0.67 for eight words, 0.73 for ten.
    """
    return {*words, *map(" ".join, pairwise(words))}


@dataclass(frozen=True, slots=True)
class Overlap:
    """The evaluation text that a text overlaps with; ``row`` counts from zero.

    ``similarity`` is 1 for the same text, the Jaccard similarity for a near one, and the share of
    the words that the evaluation text makes up where it is contained. ``also_in`` names the other
    evaluation sets that hold the same text, normalised.
    """

    kind: Kind
    evaluation_set: str
    row: int
    similarity: float
    also_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OverlapSettings:
    """What is judged, and from which similarity on a text is near.

    ``min_words``: shorter texts are never judged. ``near_words``: shorter ones, on either side, are
    judged by identity alone. The default threshold finds one replaced word among eight.
    """

    min_words: int = 5
    near_words: int = 8
    threshold: float = 0.65

    def __post_init__(self) -> None:
        if not 1 <= self.min_words <= self.near_words:
            raise UserError(
                f"min_words {self.min_words} and near_words {self.near_words}: "
                "1 <= min_words <= near_words is needed"
            )
        if not 0.6 <= self.threshold <= 1:
            raise UserError(
                f"threshold {self.threshold} is not between 0.6, below which hashing misses "
                "too many near texts, and 1"
            )


class _Text(NamedTuple):
    """A distinct evaluation text: its words joined by spaces, and where it occurs (set, row)."""

    words: str
    shingles: int
    places: list[tuple[str, int]]


class EvaluationIndex:
    """Evaluation sets, to look texts up in. Memory grows with the evaluation side alone."""

    def __init__(self, settings: OverlapSettings = OverlapSettings()) -> None:
        self.settings = settings
        self.sets: dict[str, dict[str, Any]] = {}
        """By name: ``rows``, ``too_short`` (rows not judged) and ``sha256`` of the texts."""
        self._raw: dict[str, tuple[str, int]] = {}  # text -> where it occurs first
        self._texts: list[_Text] = []
        self._same: dict[str, int] = {}  # letters and digits -> index of the text
        self._openings: dict[str, list[int]] = {}  # first near_words words -> indices
        self._near: list[int] = []  # key in the LSH index -> index of the text
        self._lsh = RMinHashLSH(settings.threshold, SKETCH, BANDS)

    def add(self, name: str, texts: Iterable[str]) -> None:
        """Add an evaluation set. Raises :class:`UserError` if there is one of this name."""
        if name in self.sets:
            raise UserError(f"evaluation set {name!r} was added before: names are to differ")
        digest, rows, short = hashlib.sha256(), 0, 0
        for chunk in chunks(texts):
            fresh: list[int] = []
            for row, text in enumerate(chunk, rows):
                data = text.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8, "little") + data)
                words = normalised_words(text)
                if len(words) < self.settings.min_words:
                    short += 1
                    continue
                self._raw.setdefault(text, (name, row))
                at = self._same.setdefault("".join(words), len(self._texts))
                if at == len(self._texts):
                    self._texts.append(_Text(" ".join(words), len(shingles(words)), []))
                    fresh.append(at)
                self._texts[at].places.append((name, row))
            rows += len(chunk)
            self._sketch(fresh)
        self.sets[name] = {"rows": rows, "too_short": short, "sha256": digest.hexdigest()}

    def _sketch(self, fresh: Sequence[int]) -> None:
        size = self.settings.near_words
        words = {at: self._texts[at].words.split(" ") for at in fresh}
        long = [at for at in fresh if len(words[at]) >= size]
        for at in long:
            self._openings.setdefault(" ".join(words[at][:size]), []).append(at)
        sketches = RMinHash.from_token_sets([shingles(words[at]) for at in long], SKETCH, SEED)
        self._lsh.insert_many(sketches, len(self._near))
        self._near += long

    def overlap(self, text: str) -> Overlap | None:
        """What the text overlaps with, the surest kind first; None if nothing or too short."""
        return self.check([text])[0]

    def check(self, texts: Sequence[str]) -> list[Overlap | None]:
        """:meth:`overlap` of many texts at once, much faster."""
        return self.check_words(texts, list(map(normalised_words, texts)))

    def check_words(self, texts: Sequence[str], words: Sequence[list[str]]) -> list[Overlap | None]:
        """:meth:`check` for texts whose :func:`normalised_words` are known."""
        found = [
            self._find_same(text, own) or self._find_contained(own)
            for text, own in zip(texts, words, strict=True)
        ]
        rest = [
            at
            for at, overlap in enumerate(found)
            if overlap is None and len(words[at]) >= self.settings.near_words
        ]
        for at, near in zip(rest, self._find_near([words[at] for at in rest]), strict=True):
            found[at] = near
        return found

    def _find_same(self, text: str, words: list[str]) -> Overlap | None:
        at = self._same.get("".join(words))
        if at is None or len(words) < self.settings.min_words:
            return None
        if text in self._raw:
            return self._found("exact", at, 1.0, self._raw[text])
        return self._found("normalised", at, 1.0)

    def _find_contained(self, words: list[str]) -> Overlap | None:
        starts = (words[at:] for at in range(self.settings.near_words))
        openings = self._openings.keys() & map(" ".join, zip(*starts, strict=False))
        if not openings:
            return None
        text = f" {' '.join(words)} "
        inside = [
            (self._texts[at].words.count(" ") + 1, -at)
            for opening in openings
            for at in self._openings[opening]
            if f" {self._texts[at].words} " in text
        ]
        if not inside:
            return None
        size, negated = max(inside)  # the longest, then the first added
        return self._found("contained", -negated, size / len(words))

    def _find_near(self, texts: Sequence[list[str]]) -> list[Overlap | None]:
        sets = list(map(shingles, texts))
        candidates = self._lsh.query_all(RMinHash.from_token_sets(sets, SKETCH, SEED))
        return [
            self._nearest(own, sorted(keys)) for own, keys in zip(sets, candidates, strict=True)
        ]

    def _nearest(self, own: set[str], keys: Sequence[int]) -> Overlap | None:
        best, at = self.settings.threshold, -1
        for key in keys:
            text = self._texts[self._near[key]]
            fewer, more = sorted((len(own), text.shingles))
            if fewer < best * more:  # more is the least that the union can be
                continue
            shared = len(own & shingles(text.words.split(" ")))
            similarity = shared / (len(own) + text.shingles - shared)
            if similarity > best or (similarity == best and at < 0):
                best, at = similarity, self._near[key]
        return self._found("near", at, best) if at >= 0 else None

    def _found(
        self, kind: Kind, at: int, similarity: float, place: tuple[str, int] | None = None
    ) -> Overlap:
        places = self._texts[at].places
        name, row = place or places[0]
        others = dict.fromkeys(other for other, _ in places if other != name)
        return Overlap(kind, name, row, similarity, tuple(others))


def chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Some thousand items at a time: what is checked at once."""
    source = iter(items)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk
