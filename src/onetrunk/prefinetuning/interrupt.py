"""Ctrl-C that waits until a checkpoint can be written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C or SIGTERM came since.

    The first is only remembered, a second raises :class:`KeyboardInterrupt` at once. Off the main
    thread, which alone hears signals, nothing changes.
    """
    came = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = [signal.signal(number, remember) for number in SIGNALS]
    try:
        yield lambda: came
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
