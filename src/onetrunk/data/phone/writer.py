"""Writes one text: chooses words around a template, fills its slots, roughens the outcome."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onetrunk.data.phone import templates as words
from onetrunk.data.phone.values import ValueMaker

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


class Value(NamedTuple):
    """A slot's value in a text: its place and its kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row before it takes its public form; tests look here at what it was made from."""

    text: str
    values: tuple[Value, ...]
    templates: tuple[str, ...]
    label: str = ""
    positive: str = ""
    positive_values: tuple[Value, ...] = ()


class Piece(NamedTuple):
    """Part of a message: a slot's value, or literal words if ``kind`` is empty."""

    text: str
    kind: str = ""


class Writer:
    """Fills templates and roughens the outcome, with random numbers of its own.

    ``held`` writers use the openings, closings and fillers kept from all training data, and every
    other value of a closed list is one that no training row contains.
    """

    def __init__(self, rng: random.Random, fakers: Sequence[Any], held: bool) -> None:
        self.rng = rng
        self.held = held
        self.maker = ValueMaker(rng, fakers, held)

    def message(self, template: str, second: bool = True) -> Row:
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

    def command(self, template: str) -> Row:
        """Write a voice command: the template, sometimes with a word before or after it."""
        rng, part = self.rng, "held" if self.held else "train"
        templates = [template]
        if rng.random() < 0.25:
            templates.insert(0, rng.choice(words.COMMAND_OPENINGS[part]))
        if rng.random() < 0.25:
            templates.append(rng.choice(words.COMMAND_CLOSINGS[part]))
        return self._row(templates)

    def _row(self, templates: Sequence[str]) -> Row:
        pieces: list[Piece] = []
        for template in templates:
            pieces += ([Piece(" ")] if pieces else []) + self.fill(template, {})
        text, values = self.finish(pieces)
        return Row(text, values, tuple(templates))

    def fill(self, template: str, values: dict[str, str]) -> list[Piece]:
        """Settle a template's choices and fill its slots; ``values`` remembers what was used."""
        template = _CHOICE.sub(lambda match: self.rng.choice(match[1].split("|")), template)
        pieces, at = [], 0
        for slot in _SLOT.finditer(template):
            name, kind = slot[0], slot[1]
            while name not in values:
                value = self.maker.make(kind)
                if value not in values.values():  # {person} and {person2} are two people
                    values[name] = value
            literal = template[at : slot.start()]
            if values[name][0] in "aeiouAEIO" and re.search(r"(^|\s)[Aa] $", literal):
                literal = literal[:-1] + "n "
            pieces += [Piece(literal), Piece(values[name], kind)]
            at = slot.end()
        return [*pieces, Piece(template[at:])]

    def finish(self, pieces: Sequence[Piece], rough: bool = True) -> tuple[str, tuple[Value, ...]]:
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
                values.append(Value(len(text), len(text) + len(part), piece.kind))
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
