"""Makes a value for every kind of slot: from closed lists, from Faker, or digit by digit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from onetrunk.data.phone import templates as words
from onetrunk.errors import UserError

_HOURS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def make_fakers() -> list[Any]:
    """Return a Faker for each locale. Raises :class:`UserError` if Faker is not installed."""
    try:
        from faker import Faker
    except ImportError:
        raise UserError("the phone corpus needs Faker: pip install onetrunk[phone]") from None
    # One instance a locale: a proxy over several picks among them with a global generator.
    return [Faker(locale) for locale in ("en_US", "en_GB", "en_IN")]


class ValueMaker:
    """Makes values, with the random numbers of the writer it works for.

    With ``held``, every other value of a closed list is one that no training row contains. A kind
    without a closed list has a method of its name.
    """

    def __init__(self, rng: random.Random, fakers: Sequence[Any], held: bool) -> None:
        self.rng = rng
        self.fakers = fakers
        self.held = held
        for faker in fakers:  # shared by all makers, which work one after the other
            faker.seed_instance(rng.getrandbits(32))

    def make(self, kind: str) -> str:
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
        return self.make("city")

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
