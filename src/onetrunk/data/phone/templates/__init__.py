"""The words of the phone corpus: message templates, closed value lists, concepts. Data only.

One template a line. ``{kind}`` is a slot (a trailing digit makes a second value of that kind:
``{person2}``), ``[a|b]`` a choice. In a group of pairs, lines with ``>`` are positives of the lines
before them. A template stands in exactly one split, by hand; the tests check that nothing of a
validation or test template is found in anything that is trained on.
"""

from __future__ import annotations

from onetrunk.data.phone.templates.closed_values import VALUES
from onetrunk.data.phone.templates.concepts import APP_CONCEPTS, CONCEPTS
from onetrunk.data.phone.templates.frames import (
    CLOSINGS,
    COMMAND_CLOSINGS,
    COMMAND_OPENINGS,
    FILLERS,
    OPENINGS,
)
from onetrunk.data.phone.templates.ner_calendar import CALENDAR
from onetrunk.data.phone.templates.ner_contact import CONTACT
from onetrunk.data.phone.templates.ner_weak import WEAK
from onetrunk.data.phone.templates.pairs_command import COMMANDS
from onetrunk.data.phone.templates.pairs_paraphrase import PARAPHRASES
from onetrunk.data.phone.templates.pairs_reply import REPLIES
from onetrunk.data.phone.templates.pairs_subject_body import SUBJECT_BODY
from onetrunk.data.phone.templates.tc_intent import INTENT
from onetrunk.data.phone.templates.tc_spam import SPAM

__all__ = [
    "APP_CONCEPTS",
    "CLOSINGS",
    "COMMAND_CLOSINGS",
    "COMMAND_OPENINGS",
    "CONCEPTS",
    "FILLERS",
    "NER",
    "OPENINGS",
    "PAIRS",
    "SPLITS",
    "TC",
    "VALUES",
    "WEAK",
]

SPLITS = ("train", "validation", "test")

PAIRS = {
    "paraphrase": PARAPHRASES,
    "subject_body": SUBJECT_BODY,
    "reply": REPLIES,
    "command": COMMANDS,
}
"""Groups of templates, ``PAIRS[source]``."""

NER = {"calendar": CALENDAR, "contact": CONTACT}
"""Templates of the NER apps, ``NER[app][split]``."""

TC = {"intent": INTENT, "spam": SPAM}
"""Templates of the text classification apps, ``TC[app][label][split]``."""
