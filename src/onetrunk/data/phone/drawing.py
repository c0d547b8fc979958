"""Draws the rows of every part of the corpus: how many, from which templates, none twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from onetrunk.data.phone import templates as words
from onetrunk.data.phone.values import make_fakers
from onetrunk.data.phone.writer import Row, Writer
from onetrunk.errors import UserError

NER_APPS = tuple(words.NER)
TC_APPS = tuple(words.TC)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Sizes:
    """How many rows to make: ``app_*`` for each of the four apps, ``pairs`` over all sources."""

    ner_pretrain: int = 6000
    pairs: int = 6000
    app_train: int = 400
    app_validation: int = 150
    app_test: int = 400


DEFAULT_SIZES = Sizes()


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows of every part: ``pairs[source]`` and ``apps[app][split]``."""

    ner_pretrain: list[Row]
    pairs: dict[str, list[Row]]
    apps: dict[str, dict[str, list[Row]]]


def draw(seed: int, sizes: Sizes) -> Drawn:
    """Draw all rows; each part has its own stream of random numbers. Raises :class:`UserError`."""
    fakers = make_fakers()

    def writer(purpose: str, held: bool = False) -> Writer:
        return Writer(random.Random(f"{seed}/{purpose}"), fakers, held)

    weak = writer("pre_ner")
    ner_pretrain = _distinct(
        sizes.ner_pretrain, [_cycle(weak.rng, words.WEAK)], weak.message, "pre_ner"
    )

    pairs = {}
    for at, source in enumerate(words.PAIRS):
        size = sizes.pairs // len(words.PAIRS) + (at < sizes.pairs % len(words.PAIRS))
        scribe = writer(source)
        # Only what a person typed is roughened: not bodies of e-mails, not descriptions.
        rough = source in ("paraphrase", "reply")
        make = _pair_maker(scribe, rough)
        pairs[source] = _distinct(size, [_cycle(scribe.rng, words.PAIRS[source])], make, source)

    apps: dict[str, dict[str, list[Row]]] = {}
    for app in NER_APPS + TC_APPS:
        apps[app] = {}
        for split in words.SPLITS:
            size = getattr(sizes, f"app_{split}")
            scribe = writer(f"{app}/{split}", held=split != "train")
            what = f"{app}/{split}"
            if app in NER_APPS:
                streams = [_cycle(scribe.rng, words.NER[app][split])]
                apps[app][split] = _distinct(size, streams, scribe.message, what)
            else:
                labels = words.TC[app]
                labelled = [
                    _cycle(scribe.rng, [(label, t) for t in labels[label][split]])
                    for label in labels
                ]
                make_labelled = _label_maker(scribe, command=app == "intent")
                apps[app][split] = _distinct(size, labelled, make_labelled, what)
            scribe.rng.shuffle(apps[app][split])
    return Drawn(ner_pretrain, pairs, apps)


def _cycle(rng: random.Random, choices: Sequence[_T]) -> Iterator[_T]:
    """Yield all choices in random order, then all again in another: all equally often."""
    while True:
        yield from rng.sample(choices, len(choices))


def _distinct(
    size: int, streams: Sequence[Iterator[_T]], make: Callable[[_T], Row], what: str
) -> list[Row]:
    """Take turns over the streams of templates until there are ``size`` rows, none twice."""
    seen: set[tuple[str, str]] = set()
    rows: list[Row] = []
    misses = 0
    while len(rows) < size:
        row = make(next(streams[len(rows) % len(streams)]))
        key = (row.text.casefold(), row.positive.casefold())
        if key not in seen:
            seen.add(key)
            rows.append(row)
            misses = 0
        elif (misses := misses + 1) > 2000:
            raise UserError(f"{what}: no more than about {len(rows)} distinct rows, {size} asked")
    return rows


def _label_maker(scribe: Writer, command: bool) -> Callable[[tuple[str, str]], Row]:
    def make(labelled: tuple[str, str]) -> Row:
        label, template = labelled
        row = scribe.command(template) if command else scribe.message(template, second=False)
        return Row(row.text, row.values, row.templates, label)

    return make


def _pair_maker(scribe: Writer, rough: bool) -> Callable[[tuple[str, ...]], Row]:
    def make(group: tuple[str, ...]) -> Row:
        positives = [line[2:] for line in group if line.startswith("> ")]
        if positives:
            first = scribe.rng.choice([line for line in group if not line.startswith("> ")])
            second = scribe.rng.choice(positives)
        else:
            first, second = scribe.rng.sample(group, 2)
        shared: dict[str, str] = {}  # both sides speak of the same things
        query = scribe.finish(scribe.fill(first, shared))
        positive = scribe.finish(scribe.fill(second, shared), rough)
        return Row(query[0], query[1], (first, second), "", positive[0], positive[1])

    return make
