"""Writes one text: puts words around a template, fills its slots, makes the outcome less tidy."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onetrunk.demo import words
from onetrunk.demo.values import ValueMaker

_CHOICE = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{([a-z]+)(\d?)\}")
_KEYS = " qwertyuiop asdfghjkl zxcvbnm "


class Value(NamedTuple):
    """A slot's value in a text: its characters ``[start, end)`` and its kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of any part of the corpus, and what it was made from.

    Rows of pairs have a ``positive``, rows of classification apps a ``label``.
    """

    text: str
    values: tuple[Value, ...]
    templates: tuple[str, ...]
    label: str = ""
    positive: str = ""
    positive_values: tuple[Value, ...] = ()


_Piece = tuple[str, str]
"""Part of a text and the kind of its slot; literal words have the kind ""."""


class Writer:
    """Fills templates and makes the outcome less tidy, with random numbers of its own.

    A writer with ``held`` makes validation and test rows: it uses the openings, closings and
    fillers that no training row has, and in half of the cases values that no training row has.
    """

    def __init__(self, rng: random.Random, fakers: Sequence[Any], held: bool) -> None:
        self.rng = rng
        part = "held" if held else "train"
        self.frames = {place: parts[part] for place, parts in words.FRAMES.items()}
        self.value_maker = ValueMaker(rng, fakers, held)

    def message(self, template: str, second: bool = True) -> Row:
        """Write a message: the template, sometimes with words around it or a second sentence."""
        rng = self.rng
        templates = [*self._sometimes(0.35, "openings"), template]
        if second and rng.random() < 0.3:
            # Before or after the template, so that its place does not show which one matters.
            templates.insert(rng.choice((0, len(templates))), rng.choice(self.frames["fillers"]))
        return self._row([*templates, *self._sometimes(0.3, "closings")])

    def command(self, template: str) -> Row:
        """Write a voice command: the template, sometimes with a word before or after it."""
        before = self._sometimes(0.25, "command_openings")
        return self._row([*before, template, *self._sometimes(0.25, "command_closings")])

    def pair(self, group: Sequence[str], typed: bool) -> Row:
        """Write a pair from a group of templates; ``typed`` says that a person typed its positive.

        Positives that nobody typed (bodies of e-mails, descriptions) have no typos.
        """
        positives = [line for line in group if line.startswith("> ")]
        if positives:
            query = self.rng.choice([line for line in group if line not in positives])
            positive = self.rng.choice(positives).removeprefix("> ")
        else:
            query, positive = self.rng.sample(group, 2)
        shared: dict[str, str] = {}  # both sides speak of the same things
        text, values = self._finish(self._fill(query, shared))
        positive_text, positive_values = self._finish(self._fill(positive, shared), typed)
        return Row(text, values, (query, positive), "", positive_text, positive_values)

    def _sometimes(self, chance: float, place: str) -> list[str]:
        return [self.rng.choice(self.frames[place])] if self.rng.random() < chance else []

    def _row(self, templates: Sequence[str]) -> Row:
        pieces: list[_Piece] = []
        for template in templates:
            pieces += ([(" ", "")] if pieces else []) + self._fill(template, {})
        text, values = self._finish(pieces)
        return Row(text, values, tuple(templates))

    def _fill(self, template: str, values: dict[str, str]) -> list[_Piece]:
        """Settle a template's choices and fill its slots; ``values`` remembers what was used."""
        template = _CHOICE.sub(lambda match: self.rng.choice(match[1].split("|")), template)
        pieces: list[_Piece] = []
        at = 0
        for slot in _SLOT.finditer(template):
            name, kind = slot[0], slot[1]
            while name not in values:
                value = self.value_maker.make(kind)
                if value not in values.values():  # {person} and {person2} are two people
                    values[name] = value
            literal = template[at : slot.start()]
            if values[name][0] in "aeiouAEIO" and re.search(r"(^|\s)[Aa] $", literal):
                literal = literal[:-1] + "n "
            pieces += [(literal, ""), (values[name], kind)]
            at = slot.end()
        return [*pieces, (template[at:], "")]

    def _finish(
        self, pieces: Sequence[_Piece], typed: bool = True
    ) -> tuple[str, tuple[Value, ...]]:
        """Join the pieces; if ``typed``, first shorten, misspell or lower-case their words.

        Values keep their letters, though perhaps not their case, so that entities keep their
        boundaries.
        """
        rng = self.rng
        lower, typos, short, unended = (rng.random() < p for p in (0.25, 0.3, 0.12, 0.2))
        text, values = "", []
        for part, kind in pieces:
            if typed and not kind:
                part = self._shorten(part) if short else part
                part = self._misspell(part) if typos else part
            part = part.lower() if typed and lower else part
            if kind:
                values.append(Value(len(text), len(text) + len(part), kind))
            text += part
        if typed and unended and not pieces[-1][1] and text[-1] in ".!":
            text = text[:-1]
        return text, tuple(values)

    def _shorten(self, literal: str) -> str:
        short = re.sub(r"(?<=[A-Za-z])'(?=[a-z])", "", literal)  # never the 's after a value
        return re.sub(r"[a-z]+", lambda match: words.SHORTHAND.get(match[0], match[0]), short)

    def _misspell(self, literal: str) -> str:
        """In about one word of eight: swap two letters, or leave out, double or replace one."""

        def misspelt(match: re.Match[str]) -> str:
            word, rng = match[0], self.rng
            if rng.random() > 0.12:
                return word
            at = rng.randrange(1, len(word) - 1)
            before, letter, after = word[:at], word[at], word[at + 1 :]
            place = _KEYS.find(letter)
            neighbour = _KEYS[place + rng.choice((-1, 1))].strip() if place >= 0 else ""
            swapped, doubled = after[0] + letter + after[1:], letter * 2 + after
            return before + rng.choice((swapped, after, doubled, neighbour + after))

        return re.sub(r"[A-Za-z]{4,}", misspelt, literal)
