"""The corpus in memory: the rows drawn, as the examples that the rest of the package knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onetrunk.data.phone import templates as words
from onetrunk.data.phone.drawing import DEFAULT_SIZES, NER_APPS, TC_APPS, Sizes, draw
from onetrunk.data.phone.writer import Row
from onetrunk.data.rows import LabelledText, Pair, TaggedText


@dataclass(frozen=True)
class PhoneCorpus:
    """The corpus in memory: ``pairs[source]``, ``ner[app][split]`` and ``tc[app][split]``."""

    ner_pretrain: list[TaggedText]
    pairs: dict[str, list[Pair]]
    ner: dict[str, dict[str, list[TaggedText]]]
    tc: dict[str, dict[str, list[LabelledText]]]


def generate(seed: int = 0, sizes: Sizes = DEFAULT_SIZES) -> PhoneCorpus:
    """Make the corpus; the same ``(seed, sizes)`` gives the same corpus in every process.

    Each part has its own stream of random numbers, so changing one size leaves the other parts
    as they were. Raises :class:`UserError` if Faker is not installed, or if the templates cannot
    yield as many distinct rows as ``sizes`` asks for.
    """
    drawn = draw(seed, sizes)
    return PhoneCorpus(
        [_tagged(row, words.CONCEPTS) for row in drawn.ner_pretrain],
        {
            source: [Pair(row.text, row.positive) for row in rows]
            for source, rows in drawn.pairs.items()
        },
        {
            app: {
                split: [_tagged(row, words.APP_CONCEPTS[app]) for row in rows]
                for split, rows in drawn.apps[app].items()
            }
            for app in NER_APPS
        },
        {
            app: {
                split: [LabelledText(row.text, (row.label,)) for row in rows]
                for split, rows in drawn.apps[app].items()
            }
            for app in TC_APPS
        },
    )


def _tagged(row: Row, concepts: Mapping[str, str]) -> TaggedText:
    """Tag the words of each value whose kind is in ``concepts``."""
    bare = TaggedText.from_text(row.text)
    tags = ["O"] * len(bare.words)
    starts = {start: at for at, (start, _) in enumerate(bare.words)}
    ends = {end: at for at, (_, end) in enumerate(bare.words)}
    for value in row.values:
        if value.kind in concepts:
            first, last = starts[value.start], ends[value.end]
            tags[first] = f"B-{concepts[value.kind]}"
            tags[first + 1 : last + 1] = [f"I-{concepts[value.kind]}"] * (last - first)
    return TaggedText(row.text, bare.words, tuple(tags))
