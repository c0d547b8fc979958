"""An embedded corpus of phone messages, e-mails and voice commands, for a demo without a network.

Values (Faker's, and closed lists of our own) are put into templates of our own
(:mod:`onetrunk.data.phone_templates`), then roughened: openings, closings, a second sentence,
lower case, shorthand, typos. Templates of validation and test rows are used nowhere else, so no
score measures how well a template was memorised.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.data import phone_templates as words
from onetrunk.data.examples import LabelledText, Pair, TaggedText
from onetrunk.errors import UserError
from onetrunk.storage import atomic_folder, refuse_existing

NER_APPS = ("calendar", "contact")
TC_APPS = ("intent", "spam")

_NER_TEMPLATES = {"calendar": words.CALENDAR, "contact": words.CONTACT}
_TC_TEMPLATES = {"intent": words.INTENT, "spam": words.SPAM}


@dataclass(frozen=True)
class Sizes:
    """How many rows to make: ``app_*`` for each of the four apps, ``pairs`` over all sources."""

    ner_pretrain: int = 6000
    pairs: int = 6000
    app_train: int = 400
    app_validation: int = 150
    app_test: int = 400


@dataclass(frozen=True)
class PhoneCorpus:
    """The corpus in memory: ``pairs[source]``, ``ner[app][split]`` and ``tc[app][split]``."""

    ner_pretrain: list[TaggedText]
    pairs: dict[str, list[Pair]]
    ner: dict[str, dict[str, list[TaggedText]]]
    tc: dict[str, dict[str, list[LabelledText]]]


def generate(seed: int = 0, sizes: Sizes = Sizes()) -> PhoneCorpus:
    """Make the corpus; the same ``(seed, sizes)`` gives the same corpus in every process.

    Each part has its own stream of random numbers, so changing one size leaves the other parts
    as they were. Raises :class:`UserError` if Faker is not installed, or if the templates cannot
    yield as many distinct rows as ``sizes`` asks for.
    """
    drawn = _draw(seed, sizes)
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


def write(folder: Path, seed: int = 0, sizes: Sizes = Sizes(), overwrite: bool = False) -> None:
    """Write the corpus below ``folder`` as Parquet, in the columns of the real data.

    ``pre_ner/phone`` and ``ner/<app>`` have ``tokens, ner_tags``; ``pre_pairs/<source>`` has
    ``query, positive``; ``tc/<app>`` has ``text, label``. The folder appears whole or not at all.
    Raises :class:`UserError` if it exists, is not empty, and ``overwrite`` is false.
    """
    folder = Path(folder)
    refuse_existing(folder, overwrite)  # before the work, not after it
    corpus = generate(seed, sizes)
    with atomic_folder(folder, overwrite) as beside:
        for name, columns in _files(corpus):
            target = beside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), target, compression="zstd")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: ``python -m onetrunk.data.phone OUT [--seed 0] [--overwrite]``."""
    parser = argparse.ArgumentParser(
        prog="python -m onetrunk.data.phone", description="Write the embedded phone corpus."
    )
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    given = parser.parse_args(arguments)
    try:
        write(given.out, given.seed, overwrite=given.overwrite)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    for file in sorted(given.out.rglob("*.parquet")):
        table = pq.read_table(file)
        first = "-"
        if table.num_rows:
            cells = table.slice(0, 1).to_pylist()[0].values()
            first = " | ".join(" ".join(c) if isinstance(c, list) else c for c in cells)
        print(f"{file.relative_to(given.out)}: {table.num_rows} rows\n    {first}")


# ------------------------------------------------------------------------------- drawing rows


class _Value(NamedTuple):
    """A slot's value in a text: its place and its kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A row before it takes its public form; tests look here at what it was made from."""

    text: str
    values: tuple[_Value, ...]
    templates: tuple[str, ...]
    label: str = ""
    positive: str = ""
    positive_values: tuple[_Value, ...] = ()


@dataclass(frozen=True, slots=True)
class _Drawn:
    ner_pretrain: list[_Row]
    pairs: dict[str, list[_Row]]
    apps: dict[str, dict[str, list[_Row]]]


def _draw(seed: int, sizes: Sizes) -> _Drawn:
    fakers = _fakers()

    def writer(purpose: str, held: bool = False) -> _Writer:
        return _Writer(random.Random(f"{seed}/{purpose}"), fakers, held)

    weak = writer("pre_ner")
    ner_pretrain = _distinct(sizes.ner_pretrain, [weak.cycle(words.WEAK)], weak.message, "pre_ner")

    pairs = {}
    for at, source in enumerate(words.PAIRS):
        size = sizes.pairs // len(words.PAIRS) + (at < sizes.pairs % len(words.PAIRS))
        scribe = writer(source)
        # Only what a person typed is roughened: not bodies of e-mails, not descriptions.
        rough = source in ("paraphrase", "reply")
        make = _pair_maker(scribe, rough)
        pairs[source] = _distinct(size, [scribe.cycle(words.PAIRS[source])], make, source)

    apps: dict[str, dict[str, list[_Row]]] = {}
    for app in NER_APPS + TC_APPS:
        apps[app] = {}
        for split in words.SPLITS:
            size = getattr(sizes, f"app_{split}")
            scribe = writer(f"{app}/{split}", held=split != "train")
            what = f"{app}/{split}"
            if app in NER_APPS:
                streams = [scribe.cycle(_NER_TEMPLATES[app][split])]
                apps[app][split] = _distinct(size, streams, scribe.message, what)
            else:
                labels = _TC_TEMPLATES[app]
                labelled = [
                    scribe.cycle([(label, t) for t in labels[label][split]]) for label in labels
                ]
                make_labelled = _label_maker(scribe, command=app == "intent")
                apps[app][split] = _distinct(size, labelled, make_labelled, what)
            scribe.rng.shuffle(apps[app][split])
    return _Drawn(ner_pretrain, pairs, apps)


_T = TypeVar("_T")


def _distinct(
    size: int, streams: Sequence[Iterator[_T]], make: Callable[[_T], _Row], what: str
) -> list[_Row]:
    """Take turns over the streams of templates until there are ``size`` rows, none twice."""
    seen: set[tuple[str, str]] = set()
    rows: list[_Row] = []
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


def _label_maker(scribe: _Writer, command: bool) -> Callable[[tuple[str, str]], _Row]:
    def make(labelled: tuple[str, str]) -> _Row:
        label, template = labelled
        row = scribe.command(template) if command else scribe.message(template, second=False)
        return _Row(row.text, row.values, row.templates, label)

    return make


def _pair_maker(scribe: _Writer, rough: bool) -> Callable[[tuple[str, ...]], _Row]:
    def make(group: tuple[str, ...]) -> _Row:
        positives = [line[2:] for line in group if line.startswith("> ")]
        if positives:
            first = scribe.rng.choice([line for line in group if not line.startswith("> ")])
            second = scribe.rng.choice(positives)
        else:
            first, second = scribe.rng.sample(group, 2)
        shared: dict[str, str] = {}  # both sides speak of the same things
        query = scribe.finish(scribe.fill(first, shared))
        positive = scribe.finish(scribe.fill(second, shared), rough)
        return _Row(query[0], query[1], (first, second), "", positive[0], positive[1])

    return make


def _tagged(row: _Row, concepts: Mapping[str, str]) -> TaggedText:
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


def _files(corpus: PhoneCorpus) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "pre_ner/phone/train.parquet", _ner_columns(corpus.ner_pretrain)
    for source, pairs in corpus.pairs.items():
        yield (
            f"pre_pairs/{source}/train.parquet",
            {
                "query": pa.array([pair.query for pair in pairs], pa.string()),
                "positive": pa.array([pair.positive for pair in pairs], pa.string()),
            },
        )
    for app, splits in corpus.ner.items():
        for split, sentences in splits.items():
            yield f"ner/{app}/{split}.parquet", _ner_columns(sentences)
    for app, texts in corpus.tc.items():
        for split, rows in texts.items():
            yield (
                f"tc/{app}/{split}.parquet",
                {
                    "text": pa.array([row.text for row in rows], pa.string()),
                    "label": pa.array([row.labels[0] for row in rows], pa.string()),
                },
            )


def _ner_columns(rows: Sequence[TaggedText]) -> dict[str, Any]:
    strings = pa.list_(pa.string())
    tokens = [[row.text[start:end] for start, end in row.words] for row in rows]
    return {
        "tokens": pa.array(tokens, strings),
        "ner_tags": pa.array([list(row.tags) for row in rows], strings),
    }


# ---------------------------------------------------------------------------- writing messages

_CHOICE = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{([a-z]+)(\d?)\}")
_SHORTHAND = {
    "you": "u",
    "are": "r",
    "your": "ur",
    "please": "pls",
    "thanks": "thx",
    "because": "cos",
    "though": "tho",
    "message": "msg",
    "about": "abt",
    "with": "w/",
    "okay": "ok",
    "before": "b4",
    "tomorrow": "tmrw",
}
_KEYS = "qwertyuiop asdfghjkl zxcvbnm"
_HOURS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


class _Piece(NamedTuple):
    """Part of a message: a slot's value, or literal words if ``kind`` is empty."""

    text: str
    kind: str = ""


class _Writer:
    """Fills templates and roughens the outcome, with random numbers of its own.

    ``held`` writers use the openings, closings and fillers kept from all training data, and
    every other value of a closed list is one that no training row contains.
    """

    def __init__(self, rng: random.Random, fakers: Sequence[Any], held: bool) -> None:
        self.rng = rng
        self.fakers = fakers
        self.held = held
        for faker in fakers:  # shared by all writers, which work one after the other
            faker.seed_instance(rng.getrandbits(32))

    def cycle(self, choices: Sequence[_T]) -> Iterator[_T]:
        """Yield all choices in random order, then all again in another: all equally often."""
        while True:
            yield from self.rng.sample(choices, len(choices))

    def message(self, template: str, second: bool = True) -> _Row:
        """Write a message: the template, sometimes another sentence or words around it."""
        rng, part = self.rng, "held" if self.held else "train"
        templates = [template]
        if rng.random() < 0.35:
            templates.insert(0, rng.choice(words.OPENINGS[part]))
        if second and rng.random() < 0.3:
            # Before or after, so that neither place tells what is worth finding.
            templates.insert(rng.choice((0, len(templates))), rng.choice(words.FILLERS[part]))
        if rng.random() < 0.3:
            templates.append(rng.choice(words.CLOSINGS[part]))
        return self._row(templates)

    def command(self, template: str) -> _Row:
        """Write a voice command: the template, sometimes with a word before or after it."""
        rng, part = self.rng, "held" if self.held else "train"
        templates = [template]
        if rng.random() < 0.25:
            templates.insert(0, rng.choice(words.COMMAND_OPENINGS[part]))
        if rng.random() < 0.25:
            templates.append(rng.choice(words.COMMAND_CLOSINGS[part]))
        return self._row(templates)

    def _row(self, templates: Sequence[str]) -> _Row:
        pieces: list[_Piece] = []
        for template in templates:
            pieces += ([_Piece(" ")] if pieces else []) + self.fill(template, {})
        text, values = self.finish(pieces)
        return _Row(text, values, tuple(templates))

    def fill(self, template: str, values: dict[str, str]) -> list[_Piece]:
        """Settle a template's choices and fill its slots; ``values`` remembers what was used."""
        template = _CHOICE.sub(lambda match: self.rng.choice(match[1].split("|")), template)
        pieces, at = [], 0
        for slot in _SLOT.finditer(template):
            name, kind = slot[0], slot[1]
            while name not in values:
                value = self.value(kind)
                if value not in values.values():  # {person} and {person2} are two people
                    values[name] = value
            literal = template[at : slot.start()]
            if values[name][0] in "aeiouAEIO" and re.search(r"(^|\s)[Aa] $", literal):
                literal = literal[:-1] + "n "
            pieces += [_Piece(literal), _Piece(values[name], kind)]
            at = slot.end()
        return [*pieces, _Piece(template[at:])]

    def finish(
        self, pieces: Sequence[_Piece], rough: bool = True
    ) -> tuple[str, tuple[_Value, ...]]:
        """Roughen the literal words, join the pieces and say where the values ended up.

        Values keep their letters (their case may go, with that of the whole message), so an
        entity's boundaries are where they were.
        """
        rng = self.rng
        lower, typos, short, final = (rng.random() < p for p in (0.25, 0.3, 0.12, 0.2))
        text, values = "", []
        for piece in pieces:
            part = piece.text
            if rough and not piece.kind:
                part = self._shorten(part) if short else part
                part = self._misspell(part) if typos else part
            part = part.lower() if rough and lower else part
            if piece.kind:
                values.append(_Value(len(text), len(text) + len(part), piece.kind))
            text += part
        if rough and final and not pieces[-1].kind and text[-1] in ".!":
            text = text[:-1]
        return text, tuple(values)

    def _shorten(self, literal: str) -> str:
        short = re.sub(r"(?<=[A-Za-z])'(?=[a-z])", "", literal)  # never the 's of a value
        return re.sub(r"[a-z]+", lambda match: _SHORTHAND.get(match[0], match[0]), short)

    def _misspell(self, literal: str) -> str:
        def slip(match: re.Match[str]) -> str:
            word, rng = match[0], self.rng
            if rng.random() > 0.12:
                return word
            at = rng.randrange(1, len(word) - 1)
            near = _KEYS.index(word[at]) + rng.choice((-1, 1)) if word[at] in _KEYS else -1
            return rng.choice(
                (
                    word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                    word[:at] + word[at + 1 :],
                    word[:at] + word[at] + word[at:],
                    word[:at] + _KEYS[near : near + 1].strip() + word[at + 1 :],
                )
            )

        return re.sub(r"[A-Za-z]{4,}", slip, literal)

    def value(self, kind: str) -> str:
        """Return a value for a slot of this kind."""
        if kind in words.VALUES:
            held = self.held and self.rng.random() < 0.5
            return self.rng.choice(
                [v for at, v in enumerate(words.VALUES[kind]) if (at % 4 == 3) == held]
            )
        made: str = getattr(self, f"_{kind}")()
        return made

    def _pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def _digits(self, pattern: str) -> str:
        """Put digits for ``#`` and capital letters for ``?``."""
        return "".join(
            self.rng.choice("0123456789")
            if c == "#"
            else self.rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ")
            if c == "?"
            else c
            for c in pattern
        )

    def _person(self) -> str:
        faker, luck = self.rng.choice(self.fakers), self.rng.random()
        if luck < 0.55:
            return str(faker.first_name())
        if luck < 0.9:
            return f"{faker.first_name()} {faker.last_name()}"
        return f"{self._pick('Dr', 'Mr', 'Mrs', 'Ms', 'Uncle', 'Prof')} {faker.last_name()}"

    _name = _person

    def _town(self) -> str:
        return self.value("city")

    def _org(self) -> str:
        return str(self.rng.choice(self.fakers).company())

    def _address(self) -> str:
        return " ".join(str(self.rng.choice(self.fakers).street_address()).split())

    # Numbers, mail addresses and links come from ranges reserved for fiction.
    def _phone(self) -> str:
        return self._digits(
            self._pick(
                "555-01##",
                "(###) 555-01##",
                "+1 ### 555 01##",
                "###-555-01##",
                "07700 900###",
                "+44 7700 900###",
                "020 7946 0###",
            )
        )

    def _email(self) -> str:
        faker = self.rng.choice(self.fakers)
        first, last = (str(n).lower() for n in (faker.first_name(), faker.last_name()))
        user = self._pick(first, f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last[0]}")
        host = self._pick("example.com", "example.org", f"{faker.domain_word()}.example")
        return f"{user}{self._pick('', '', self._digits('##'))}@{host}"

    def _url(self) -> str:
        host = f"{self.rng.choice(self.fakers).domain_word()}.example"
        path = self._pick("", "/login", "/track", "/photos", "/form", self._digits("/?##?#"))
        return f"{self._pick('https://', 'http://', 'www.', '')}{host}{path}"

    def _tracking(self) -> str:
        return self._digits(
            self._pick("1Z###??########", "JD################", "??#########GB", "#### #### ####")
        )

    def _code(self) -> str:
        return self._digits(self._pick("####", "######", "?-######", "#??#?#", "###-###"))

    def _order(self) -> str:
        return self._digits(self._pick("#######", "ORD-#####", "A###-####"))

    def _number(self) -> str:
        return str(self.rng.randint(2, 95))

    def _flight(self) -> str:
        return self._digits(self._pick("?? ###", "??####", "??###", "?? ####"))

    def _money(self) -> str:
        rng = self.rng
        amount = rng.choice((rng.randint(2, 99), rng.randint(1, 99) * 10, rng.randint(1, 60) * 100))
        sign, cents = self._pick("$", "£", "€", "₹"), rng.randint(0, 99)
        return self._pick(
            f"{sign}{amount:,}",
            f"{sign}{amount:,}.{cents:02d}",
            f"{amount} {self._pick('euros', 'dollars', 'pounds', 'quid', 'bucks', 'rupees')}",
        )

    def _time(self) -> str:
        rng = self.rng
        hour, minute, half = rng.randint(1, 12), rng.choice((0, 15, 30, 45)), self._pick("am", "pm")
        spoken = self._pick(*_HOURS)
        return self._pick(
            f"{hour}{half}",
            f"{hour} {half}",
            f"{hour}:{minute:02d} {half}",
            f"{hour + 11:02d}:{minute:02d}",
            f"{hour}.{minute:02d}{half}",
            self._pick("half past ", "quarter to ", "quarter past ") + spoken,
            self._pick("noon", "midnight", f"{spoken} o'clock", f"{spoken} in the morning"),
        )

    def _date(self) -> str:
        day, month = self.rng.randint(1, 28), self.rng.randrange(12)
        full = _MONTHS[month]
        ordinal = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in (11, 12, 13) else 0, "th")
        weekday = self._weekday()
        return self._pick(
            weekday,
            weekday,
            f"{full} {day}",
            f"{day} {full}",
            f"{full[:3]} {day}{ordinal}",
            f"the {day}{ordinal}",
            f"the {day}{ordinal} of {full}",
            f"{weekday}, {day} {full}",
            f"{day:02d}/{month + 1:02d}",
        )

    def _day(self) -> str:
        relative = self._pick("today", "tomorrow", "tonight", "this weekend", "next week")
        return self._pick(
            relative,
            relative,
            f"{self._pick('this', 'next')} {self._weekday()}",
            f"{self._weekday()} {self._pick('morning', 'night', 'afternoon')}",
            "the day after tomorrow",
        )

    def _weekday(self) -> str:
        return self._pick(*_WEEKDAYS)


def _fakers() -> list[Any]:
    try:
        from faker import Faker
    except ImportError:
        raise UserError("the phone corpus needs Faker: pip install onetrunk[phone]") from None
    # One instance a locale: a proxy over several picks among them with a global generator.
    return [Faker(locale) for locale in ("en_US", "en_GB", "en_IN")]


if __name__ == "__main__":
    main()
