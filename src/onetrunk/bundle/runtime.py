"""Run a bundle with onnxruntime, tokenizers and numpy, without PyTorch.

    texts ─► tokenizer ─► trunk (once a text) ─► top (one group for each distinct LoRA) ─► heads

The interface is :class:`onetrunk.interface.Model`; the answers are those of
:class:`onetrunk.apps.engine.Engine`.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np

from onetrunk.bundle.app import Lora
from onetrunk.bundle.app_cache import AppCache, Loaded
from onetrunk.bundle.holding import Holding
from onetrunk.bundle.layout import Bundle
from onetrunk.bundle.sessions import sessions_of, tokenizer_of
from onetrunk.data.alignment import Encoded, encode_windows
from onetrunk.data.batching import STREAM_TEXTS, by_budget, in_turn
from onetrunk.data.units import Units, units_of
from onetrunk.decoding import DECODERS, Decoder, abstain
from onetrunk.errors import UserError, as_number
from onetrunk.interface import listed, stream_results, streamed, too_long
from onetrunk.progress import Progress, silent

BATCH_TOKENS = 8192
"""Tokens times LoRAs that go through the top together; this bounds memory."""
MAX_CHARACTERS = 200_000
"""The longest text that is read."""
EMBEDDING_FAMILY = "tc"
"""The family whose primary LoRA :meth:`Runtime.embed` applies."""


class Runtime(Holding):
    """Apps of a bundle, ready to run. Thread-safe; apps can be added, replaced and removed while
    other threads predict.

    ```python
    from onetrunk import Runtime

    runtime = Runtime("phone", apps=["news", "intents"], threads=1)
    print(runtime.predict("book a table in Oslo"))
    runtime.teach("mood", "tc", [("well done", "glad"), ("late again", "cross")])
    ```
    """

    def __init__(
        self,
        folder: str | Path,
        apps: Sequence[str] | None = None,
        threads: int = 0,
        max_loaded: int | None = None,
    ) -> None:
        """Open ``apps`` (default: all) of a bundle, to run on ``threads`` threads (0: all cores).

        ``max_loaded``: how many of the apps are in memory at most; others are read at their first
        use. Raises :class:`UserError` if any part is missing, damaged or does not fit.
        """
        bundle = Bundle(folder)
        threads = as_number(threads, "threads", 0)
        sessions = sessions_of(bundle, threads)
        self.tokenizer = tokenizer_of(bundle)
        self.max_length = bundle.max_length
        """The longest window in tokens."""
        names = bundle.apps if apps is None else listed(apps, "apps")
        super().__init__(bundle, sessions, AppCache(bundle, sessions, names, max_loaded))

    @overload
    def predict(self, texts: str, apps: Sequence[str] | None = None) -> dict[str, Any]: ...

    @overload
    def predict(
        self, texts: list[str] | tuple[str, ...], apps: Sequence[str] | None = None
    ) -> list[dict[str, Any]]: ...

    def predict(self, texts: Any, apps: Sequence[str] | None = None) -> Any:
        """Run apps (default: all) over one text, or over many.

        One text gives one result, a list gives a list. A result holds ``text`` and, under ``apps``,
        the answer of each app: ``entities`` with character offsets, ``labels`` with
        ``probabilities``, or a ``value``. A text longer than an app's windows is read in several.
        Raises :class:`UserError` for an unknown app, for a text of more than
        :data:`MAX_CHARACTERS`, and for anything that is neither a text nor a list of texts.
        """
        every = _readable(texts)
        names = [*dict.fromkeys(self.names if apps is None else listed(apps, "apps"))]
        predictions: dict[str, list[Any]] = {}
        decoders: dict[str, Decoder] = {}
        at_once = self._app_cache.max_loaded or max(1, len(names))  # more take several passes
        for first in range(0, len(names), at_once):
            group = names[first : first + at_once]
            loaded = self._app_cache.having(group, some=apps is None)
            group = [name for name in group if name in loaded.apps]
            decoders |= {name: DECODERS[loaded.apps[name].decoder] for name in group}
            predictions |= self._predictions(loaded, group, every)
        results = [
            {
                "text": text,
                "apps": {
                    name: decoders[name].render(text, predictions[name][number])
                    for name in names
                    if name in predictions
                },
            }
            for number, text in enumerate(every)
        ]
        return results[0] if isinstance(texts, str) else results

    def stream(
        self, texts: Iterable[str | UserError], apps: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """:meth:`onetrunk.interface.Model.stream`, for texts of at most :data:`MAX_CHARACTERS`.

        :data:`STREAM_TEXTS` are read ahead. Apps that are added, replaced or removed meanwhile
        count from the next ones on.
        """
        batches = in_turn(streamed(texts), STREAM_TEXTS)
        yield from stream_results(batches, lambda batch: self.predict(batch, apps), MAX_CHARACTERS)

    def embed(self, texts: str | Sequence[str]) -> np.ndarray:
        """The text classification family's embedding of each text, ``(N, D)`` float32.

        It is the pooled last state under the family's task-primary LoRA (on the bare backbone, if
        the bundle has none), not normalised. One text gives ``(D,)``. Of a text that is longer than
        a window it is the mean over its windows.
        """
        every = _readable(texts)
        windows = encode_windows(self.tokenizer, every, self.max_length)
        ids = [window.ids for parts in windows for window in parts]
        vectors = self.features(EMBEDDING_FAMILY, ids, None, 1)
        means = np.empty((len(every), self.bundle.width), np.float32)
        for number, (first, after) in enumerate(_ranges(windows)):
            means[number] = vectors[first:after].mean(0)
        return means[0] if isinstance(texts, str) else means

    def predict_examples(self, name: str, rows: Sequence[Any]) -> list[Any]:
        """One app's predictions for rows of its family."""
        loaded = self._app_cache.having([name])
        return self._predictions(loaded, [name], [row.text for row in rows])[name]

    def logits(
        self,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        tokens: Sequence[Sequence[int]],
        loaded: Loaded | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """One pass over the token ids of B windows: by app, logits ``(u, C)`` of each window.

        ``tokens``: the positions at which each window reads words; apps of whole texts do not look
        at them. ``loaded``: the state with these apps, by default
        the present one.
        """
        loaded = loaded or self._app_cache.having(names)
        apps = {name: loaded.apps[name] for name in names}
        slots = [*dict.fromkeys(app.slot for app in apps.values())]
        most = max(app.head_layers for app in apps.values())
        numbers = [loaded.slots[slot] for slot in slots]
        states = self._sessions.states(ids, tokens, numbers, loaded.stacked, most)
        vectors: dict[tuple[bool, str, int], np.ndarray] = {}  # shared by the apps of a slot
        logits = {}
        for name, app in apps.items():
            key = (app.per_word, app.slot, app.head_layers)
            if key not in vectors:
                group = slots.index(app.slot)
                vectors[key] = states.read(group, app.head_layers, app.per_word)
            counts = [*map(len, tokens)] if app.per_word else [1] * len(ids)
            logits[name] = _parts(app.logits(vectors[key]), counts)
        return logits

    def features(
        self,
        primary: str,
        ids: Sequence[Sequence[int]],
        tokens: Sequence[Sequence[int]] | None,
        count: int,
        progress: Progress = silent,
        lora: Lora | None = None,
    ) -> np.ndarray:
        """What heads read of the token ids of windows, ``(U, count D)`` float32: the last ``count``
        states side by side, under ``lora``, or the primary LoRA of family ``primary``, if the
        bundle has it.

        Windows come in their order: of each its pooled states, or those at its ``tokens``.
        """
        cache = self._app_cache
        stacked = cache.stack_primary(primary) if lora is None else self._sessions.stack([lora])
        nothing = np.empty((0, count * self.bundle.width), np.float32)
        parts, done = [nothing] * len(ids), 0
        for batch in by_budget([*map(len, ids)], BATCH_TOKENS):
            progress("reading the texts", done, len(ids))
            of_batch = [ids[i] for i in batch]
            places = [] if tokens is None else [tokens[i] for i in batch]
            states = self._sessions.states(of_batch, places, [0], stacked, count)
            vectors = states.read(0, count, per_word=tokens is not None)
            counts = [*map(len, places)] or [1] * len(batch)
            for window, part in zip(batch, _parts(vectors, counts), strict=True):
                parts[window] = part
            done += len(batch)
        return np.concatenate([nothing, *parts])

    def _predictions(
        self, loaded: Loaded, names: Sequence[str], texts: Sequence[str]
    ) -> dict[str, list[Any]]:
        """Predictions by app."""
        predictions: dict[str, list[Any]] = {}
        for max_length in sorted({loaded.apps[name].max_length for name in names}):
            apps = [loaded.apps[name] for name in names]
            apps = [app for app in apps if app.max_length == max_length]
            limit = min(max_length, self.bundle.max_length)
            windows = encode_windows(self.tokenizer, texts, limit)
            ids = [window.ids for parts in windows for window in parts]
            units = [Units((), [[] for _ in parts]) for parts in windows]
            if any(app.per_word for app in apps):
                units = [*map(units_of, texts, windows)]
            tokens = [of_window for of_text in units for of_window in of_text.tokens]
            logits = self._logits_of_windows(loaded, [app.name for app in apps], ids, tokens)
            for app in apps:
                decode = DECODERS[app.decoder].decode
                predictions[app.name] = [
                    abstain(
                        app.decoder,
                        text,
                        decode(np.concatenate(logits[app.name][first:after]), spans, app.labels),
                        app.none_below,
                    )
                    for text, (first, after), (spans, _) in zip(
                        texts, _ranges(windows), units, strict=True
                    )
                ]
        return predictions

    def _logits_of_windows(
        self,
        loaded: Loaded,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        tokens: Sequence[Sequence[int]],
    ) -> dict[str, list[np.ndarray]]:
        """:meth:`logits` for any number of windows, in batches of similar length."""
        logits: dict[str, list[Any]] = {name: [None] * len(ids) for name in names}
        budget = BATCH_TOKENS // len({loaded.apps[name].slot for name in names})
        for batch in by_budget([*map(len, ids)], budget):
            of_batch = self.logits(
                names,
                [ids[window] for window in batch],
                [tokens[window] for window in batch],
                loaded,
            )
            for name in names:
                for window, part in zip(batch, of_batch[name], strict=True):
                    logits[name][window] = part
        return logits


def _readable(texts: Any) -> list[str]:
    every = listed(texts)
    for number, text in enumerate(every):
        if fault := too_long(text, MAX_CHARACTERS):
            raise UserError(f"text {number} (counted from 0) has {fault}")
    return every


def _parts(rows: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """The rows of each window. (numpy's own ``split`` takes ten times as long.)"""
    return [rows[first:after] for first, after in pairwise(accumulate(counts, initial=0))]


def _ranges(windows: Sequence[Sequence[Encoded]]) -> Iterator[tuple[int, int]]:
    """For each text, the first of its windows among all and the one after its last."""
    return pairwise(accumulate(map(len, windows), initial=0))
