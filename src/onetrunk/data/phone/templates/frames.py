"""What surrounds a message: openings, closings and second sentences.

``held`` frames belong to validation and test rows, ``train`` frames to all training data.
"""

from __future__ import annotations

from onetrunk.data.phone.templates.blocks import lines

OPENINGS = {
    "train": lines(
        """
        Hey,
        Hi {name},
        Hello!
        Hey {name}!
        Good morning,
        Morning!
        Dear {name},
        Hiya,
        Sorry for the late reply.
        Hope you're well.
        Quick one:
        Hey there,
        Just saw your message.
        Long time no see!
        Ok so
        FYI:
        """
    ),
    "held": lines(
        """
        Yo,
        Evening {name},
        Hello again {name},
        Right,
        Hi all,
        Heya {name},
        Hope the week is treating you kindly.
        Small update:
        By the way,
        Sorry, only got to this now.
        """
    ),
}

CLOSINGS = {
    "train": lines(
        """
        Thanks!
        Thank you so much
        See you :)
        Cheers, {name}
        xx
        Sent from my phone
        Let me know.
        Talk soon!
        Best, {name}
        Can't wait!
        No rush.
        Haha
        Hope that helps.
        🙂
        Ok?
        """
    ),
    "held": lines(
        """
        Ta!
        Much appreciated
        Take care, {name}
        Sent from a tiny keyboard
        Shout if anything is unclear.
        Regards, {name}
        Laters
        👍
        Many thanks in advance.
        Hugs
        """
    ),
}

FILLERS = {
    "train": lines(
        """
        The bus was packed again.
        My battery is nearly empty.
        I'm still half asleep.
        It has been raining all morning.
        Work is a bit mad at the moment.
        I tried ringing you earlier.
        The dog ate my sandwich, by the way.
        I owe you one.
        No worries if not.
        I nearly forgot to write.
        """
    ),
    "held": lines(
        """
        The lift is broken, so I'm out of breath.
        Autocorrect hates me.
        I've had far too much coffee.
        Everyone here is down with a cold.
        Typing this with one hand.
        The neighbours are drilling again.
        """
    ),
}

COMMAND_OPENINGS = {
    "train": lines("please\nhey phone,\nok assistant,\nhi,\nso\nhello phone"),
    "held": lines("erm,\nassistant,\nright then,\nlisten,\nquick question,"),
}

COMMAND_CLOSINGS = {
    "train": lines("please\nthanks\nnow\nfor me\nif you can\nasap"),
    "held": lines("cheers\nwhen you have a second\nthank you kindly\nwill you"),
}
