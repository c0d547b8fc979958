"""Makes a value for every kind of slot: from closed lists, from Faker, or digit by digit."""

import random
from collections.abc import Sequence
from typing import Any

from onetrunk.demo import words
from onetrunk.errors import UserError

_SIGNS = {"#": "0123456789", "?": "ABCDEFGHJKLMNPQRSTUVWXYZ"}


def make_fakers() -> list[Any]:
    """Return a Faker for each locale. Raises :class:`UserError` if Faker is not installed."""
    try:
        from faker import Faker
    except ImportError:
        raise UserError("the demo's corpus needs Faker: pip install 'onetrunk[demo]'") from None
    # One instance per locale: a single Faker of several locales chooses among them with a
    # generator that all of them share.
    return [Faker(locale) for locale in ("en_US", "en_GB", "en_IN")]


class ValueMaker:
    """Makes values with the random numbers of the writer it belongs to.

    With ``held``, half of the values from closed lists are ones that no training row contains.
    """

    def __init__(self, rng: random.Random, fakers: Sequence[Any], held: bool) -> None:
        self.rng = rng
        self.fakers = fakers
        self.held = held
        for faker in fakers:  # all makers share these, and work one after another
            faker.seed_instance(rng.getrandbits(32))
        self.makers = {
            "person": self._person,
            "name": self._person,
            "org": lambda: str(self._faker().company()),
            "address": lambda: " ".join(str(self._faker().street_address()).split()),
            "email": self._email,
            "url": self._url,
            "number": lambda: str(self.rng.randint(2, 95)),
            "money": self._money,
            "time": self._time,
            "date": self._date,
            "day": self._day,
        }

    def make(self, kind: str) -> str:
        """Return a value for a slot of this kind."""
        if kind in words.VALUES:
            held = self.held and self.rng.random() < 0.5
            values = words.VALUES[kind]
            return self.rng.choice([v for i, v in enumerate(values) if (i % 4 == 3) == held])
        if kind in words.PATTERNS:
            return self._digits(self.rng.choice(words.PATTERNS[kind]))
        return self.makers[kind]()

    def _digits(self, pattern: str) -> str:
        """Put digits for ``#`` and capital letters for ``?``."""
        return "".join(self.rng.choice(_SIGNS[c]) if c in _SIGNS else c for c in pattern)

    def _format(self, name: str, **parts: Any) -> str:
        """Choose one of the formats of this name and put in the parts that it asks for."""
        return self.rng.choice(words.FORMATS[name]).format(**parts)

    def _faker(self) -> Any:
        return self.rng.choice(self.fakers)

    def _person(self) -> str:
        faker, chance = self._faker(), self.rng.random()
        if chance < 0.55:
            return str(faker.first_name())
        if chance < 0.9:
            return f"{faker.first_name()} {faker.last_name()}"
        return f"{self._format('title')} {faker.last_name()}"

    def _email(self) -> str:
        faker = self._faker()
        first, last = (str(name).lower() for name in (faker.first_name(), faker.last_name()))
        user = self._format("mail_user", first=first, last=last)
        host = self._format("mail_host", domain=faker.domain_word())
        return f"{user}{self._format('mail_number', number=self._digits('##'))}@{host}"

    def _url(self) -> str:
        host = f"{self._faker().domain_word()}.example"
        path = self._format("path", code=self._digits("?##?#"))
        return f"{self._format('scheme')}{host}{path}"

    def _money(self) -> str:
        rng = self.rng
        amount = rng.choice((rng.randint(2, 99), rng.randint(1, 99) * 10, rng.randint(1, 60) * 100))
        sign, cents = self._format("sign"), f"{rng.randint(0, 99):02d}"
        currency = self._format("currency")
        return self._format("money", sign=sign, amount=amount, cents=cents, currency=currency)

    def _time(self) -> str:
        hour = self.rng.randint(1, 12)
        parts = {name: self._format(name) for name in ("minute", "half", "spoken", "quarter")}
        named = self._format("named", spoken=parts["spoken"])
        return self._format("time", hour=hour, hour24=f"{hour + 11:02d}", named=named, **parts)

    def _date(self) -> str:
        day, month = self.rng.randint(1, 28), self.rng.randrange(12)
        ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in (11, 12, 13) else 0, "th")
        return self._format(
            "date",
            weekday=self._format("weekday"),
            day=day,
            month=words.FORMATS["month"][month],
            ordinal=f"{day}{ending}",
            numbers=f"{day:02d}/{month + 1:02d}",
        )

    def _day(self) -> str:
        names = ("relative", "which", "weekday")
        parts = {name: self._format(name) for name in names}
        other_weekday, part_of_day = self._format("weekday"), self._format("part_of_day")
        return self._format("day", other_weekday=other_weekday, part_of_day=part_of_day, **parts)
