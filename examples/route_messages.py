"""Give each message to the function that handles what it asks for.

    onetrunk adapt runs/tpl --family tc --train intents.csv --none-below 0.7 --out apps/intent
    onetrunk export runs/tpl apps/intent apps/calendar --int8 --out phone
    python examples/route_messages.py phone intent < messages.txt

The app ``intent`` chooses, all apps of the bundle answer in the same pass, and a handler gets all
answers: so the one for alarms has the time that ``calendar`` found. What ``intent`` is not sure of
(``--none-below``) and what has no handler goes to a person.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import onetrunk

Result = Mapping[str, Any]
"""What ``model.predict`` gives for a text."""
Handler = Callable[[Result], str]


def play(result: Result) -> str:
    """Stands for the music player."""
    return f"play: {result['text']}"


def call(result: Result) -> str:
    """Stands for the telephone; it looks for whom to call in the entities of all other apps."""
    found = [e["text"] for one in result["apps"].values() for e in one.get("entities", ())]
    return f"call: {', '.join(found) or 'whom?'}"


def person(result: Result) -> str:
    """Stands for somebody who reads the message."""
    return f"somebody reads: {result['text']}"


HANDLERS: Mapping[str, Handler] = {"play": play, "call": call}


def route(
    model: onetrunk.Model,
    app: str,
    messages: Iterable[str],
    handlers: Mapping[str, Handler] = HANDLERS,
    otherwise: Handler = person,
) -> Iterator[str]:
    """Yield what the handlers answer, message by message.

    ``app`` is one that gives a text one label (family ``tc``); its labels are the keys of
    ``handlers``. Raises UserError for an app that is not there, or that gives no labels.
    """
    if "labels" not in model.predict("", [app])["apps"][app]:
        raise onetrunk.UserError(f"app {app} gives no labels: name an app of family tc")
    for result in model.stream(messages):
        labels = result["apps"][app]["labels"] if "apps" in result else []  # or an error
        handler = handlers.get(labels[0], otherwise) if labels else otherwise
        yield handler(result)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python route_messages.py BUNDLE APP < MESSAGES")
    bundle, intent = sys.argv[1:]
    try:
        for answer in route(onetrunk.load(bundle), intent, map(str.strip, sys.stdin)):
            print(answer, flush=True)
    except onetrunk.UserError as error:
        sys.exit(f"error: {error}")
