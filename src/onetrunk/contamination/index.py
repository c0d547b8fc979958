"""An index of evaluation texts that tells whether another text overlaps with one of them.

Two texts can overlap in four ways, the surest first:

- ``exact``: they are the same, character for character;
- ``normalised``: they have the same letters and digits in the same order, after Unicode NFKC and
  case folding. White space and punctuation do not count, so a tokenised text equals its original;
- ``contained``: the evaluation text is part of the other text, as a run of whole words;
- ``near``: their words and pairs of neighbouring words have at least a given Jaccard similarity.

Near texts are found by MinHash (Broder 1997) and locality-sensitive hashing, and then verified.
Short texts ("thank you") occur everywhere and are no leak: they are counted, but not judged.
"""

import hashlib
import platform
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice, pairwise
from typing import Any, Literal, NamedTuple, TypeVar

import regex
from rensa import RMinHash, RMinHashLSH

from onetrunk.data.words import UNSPACED
from onetrunk.errors import UserError

_T = TypeVar("_T")

Kind = Literal["exact", "normalised", "contained", "near"]
KINDS: tuple[Kind, ...] = ("exact", "normalised", "contained", "near")
"""The surest first."""

# 32 bands of 4 values: two texts of similarity s become a candidate pair with probability
# 1 - (1 - s^4)^32, which is 0.99 for s = 0.6, 0.999 for s = 2/3 and 0.003 for s = 0.1.
SKETCH, BANDS, SEED = 128, 32, 0
# How many texts are checked at once.
_CHUNK = 4096

# Punctuation and symbols are not words here.
_CHARACTER = rf"[{UNSPACED}&&[\p{{L}}\p{{N}}]]"
_WORD = regex.compile(rf"(?V1){_CHARACTER}\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--{_CHARACTER}]+")
WORDS = 2
"""Part of what prepared corpora are stored under: raised when other words come of a text."""


def normalised_words(text: str) -> list[str]:
    """The words of a text after Unicode NFKC and case folding, without punctuation.

    In scripts without spaces between words (:mod:`onetrunk.data.words`) a character is a word.
    Where the Penn Treebank splits a word, it is put together again: ``do n't`` has the words of
    ``don't``.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(folded.replace(" n't", "n't").replace(" n’t", "n’t"))


def shingles(words: Sequence[str]) -> set[str]:
    """The words and the pairs of neighbouring words of a text.

    If one of n different words is replaced, the Jaccard similarity is still at least
    (2n - 4) / (2n + 2): 0.67 for eight words, 0.73 for ten.
    """
    return {*words, *map(" ".join, pairwise(words))}


@dataclass(frozen=True, slots=True)
class Overlap:
    """The evaluation text with which a text overlaps; ``row`` is numbered from zero.

    ``similarity`` is 1 for the same text and the Jaccard similarity for a near one. If the
    evaluation text is contained, it is the evaluation text's share of the words. ``also_in`` names
    the other evaluation sets that hold the same text after normalisation.
    """

    kind: Kind
    evaluation_set: str
    row: int
    similarity: float
    also_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OverlapSettings:
    """Which texts are judged, and how similar near texts are.

    Texts of fewer than ``min_words`` words are never judged. If either text has fewer than
    ``near_words``, only identity (exact or normalised) counts. Texts are near from a Jaccard
    similarity of ``threshold`` on; the default finds one replaced word among eight.
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
    """A distinct evaluation text: its words joined by spaces, the number of its shingles, and the
    places (set, row) where it occurs."""

    words: str
    shingles: int
    places: list[tuple[str, int]]


class EvaluationIndex:
    """Evaluation sets in which texts can be looked up.

    Memory grows with the evaluation sets, not with the number of texts that are looked up.
    """

    def __init__(self, settings: OverlapSettings = OverlapSettings()) -> None:
        self.settings = settings
        self.sets: dict[str, dict[str, Any]] = {}
        """By name: ``rows``, ``too_short`` (rows not judged) and ``sha256`` of the texts."""
        self._texts: list[_Text] = []
        self._first_place: dict[str, tuple[str, int]] = {}  # exact text -> where it occurs first
        self._by_characters: dict[str, int] = {}  # letters and digits -> index of the text
        self._by_opening: dict[str, list[int]] = {}  # first near_words words -> indices
        self._by_lsh_key: list[int] = []  # key in the LSH index -> index of the text
        self._lsh = RMinHashLSH(settings.threshold, SKETCH, BANDS)

    def add(self, name: str, texts: Iterable[str]) -> None:
        """Add an evaluation set. Raises :class:`UserError` if there is one of this name."""
        if name in self.sets:
            raise UserError(f"evaluation set {name!r} was added before: names are to differ")
        digest, rows, short = hashlib.sha256(), 0, 0
        for chunk in chunks(texts):
            new_texts: list[int] = []
            for row, text in enumerate(chunk, rows):
                data = text.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8, "little") + data)
                words = normalised_words(text)
                if len(words) < self.settings.min_words:
                    short += 1
                    continue
                self._first_place.setdefault(text, (name, row))
                index = self._by_characters.setdefault("".join(words), len(self._texts))
                if index == len(self._texts):
                    self._texts.append(_Text(" ".join(words), len(shingles(words)), []))
                    new_texts.append(index)
                self._texts[index].places.append((name, row))
            rows += len(chunk)
            self._add_sketches(new_texts)
        self.sets[name] = {"rows": rows, "too_short": short, "sha256": digest.hexdigest()}

    def _add_sketches(self, new_texts: Sequence[int]) -> None:
        size = self.settings.near_words
        words = {text: self._texts[text].words.split(" ") for text in new_texts}
        long = [text for text in new_texts if len(words[text]) >= size]
        for text in long:
            self._by_opening.setdefault(" ".join(words[text][:size]), []).append(text)
        sketches = RMinHash.from_token_sets([shingles(words[text]) for text in long], SKETCH, SEED)
        self._lsh.insert_many(sketches, len(self._by_lsh_key))
        self._by_lsh_key += long

    def describe(self) -> dict[str, Any]:
        """The sets, and everything on which the comparison depends, for a report."""
        return {
            "settings": {
                **asdict(self.settings),
                "shingles": "words and pairs of neighbouring words",
                "minhash": {"values": SKETCH, "bands": BANDS, "seed": SEED},
            },
            "versions": {
                "python": platform.python_version(),
                "unicode": unicodedata.unidata_version,
                **{name: version(name) for name in ("onetrunk", "regex", "rensa")},
            },
            "evaluation_sets": self.sets,
        }

    def check(
        self, texts: Sequence[str], words: Sequence[list[str]] | None = None
    ) -> list[Overlap | None]:
        """The surest overlap of each text; None if it has none or is too short.

        ``words`` are the :func:`normalised_words` of the texts, if they are known.
        """
        words = list(map(normalised_words, texts)) if words is None else words
        overlaps = [
            self._find_same(text, text_words) or self._find_contained(text_words)
            for text, text_words in zip(texts, words, strict=True)
        ]
        rest = [
            row
            for row, overlap in enumerate(overlaps)
            if overlap is None and len(words[row]) >= self.settings.near_words
        ]
        for row, near in zip(rest, self._find_near([words[row] for row in rest]), strict=True):
            overlaps[row] = near
        return overlaps

    def _find_same(self, text: str, words: list[str]) -> Overlap | None:
        index = self._by_characters.get("".join(words))
        if index is None or len(words) < self.settings.min_words:
            return None
        if text in self._first_place:
            return self._overlap("exact", index, 1.0, self._first_place[text])
        return self._overlap("normalised", index, 1.0)

    def _find_contained(self, words: list[str]) -> Overlap | None:
        shifted = (words[start:] for start in range(self.settings.near_words))
        openings = self._by_opening.keys() & map(" ".join, zip(*shifted, strict=False))
        if not openings:
            return None
        text = f" {' '.join(words)} "
        contained = [
            (self._texts[index].words.count(" ") + 1, -index)
            for opening in openings
            for index in self._by_opening[opening]
            if f" {self._texts[index].words} " in text
        ]
        if not contained:
            return None
        size, negated = max(contained)  # the longest; of equally long ones the first added
        return self._overlap("contained", -negated, size / len(words))

    def _find_near(self, texts: Sequence[list[str]]) -> list[Overlap | None]:
        sets = list(map(shingles, texts))
        candidates = self._lsh.query_all(RMinHash.from_token_sets(sets, SKETCH, SEED))
        return [
            self._nearest(text_shingles, sorted(keys))
            for text_shingles, keys in zip(sets, candidates, strict=True)
        ]

    def _nearest(self, text_shingles: set[str], keys: Sequence[int]) -> Overlap | None:
        best, nearest = self.settings.threshold, -1
        for key in keys:
            candidate = self._texts[self._by_lsh_key[key]]
            fewer, more = sorted((len(text_shingles), candidate.shingles))
            if fewer < best * more:  # the intersection is at most fewer, the union at least more
                continue
            shared = len(text_shingles & shingles(candidate.words.split(" ")))
            similarity = shared / (len(text_shingles) + candidate.shingles - shared)
            if similarity > best or (similarity == best and nearest < 0):
                best, nearest = similarity, self._by_lsh_key[key]
        return self._overlap("near", nearest, best) if nearest >= 0 else None

    def _overlap(
        self, kind: Kind, index: int, similarity: float, place: tuple[str, int] | None = None
    ) -> Overlap:
        places = self._texts[index].places
        name, row = place or places[0]
        others = dict.fromkeys(other for other, _ in places if other != name)
        return Overlap(kind, name, row, similarity, tuple(others))


def chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    """The items as lists of some thousands."""
    source = iter(items)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk
