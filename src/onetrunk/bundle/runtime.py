"""Run a bundle with onnxruntime, tokenizers and numpy, without PyTorch.

    texts ─► tokenizer ─► trunk (once a text) ─► top (one group for each distinct LoRA) ─► heads

The interface is :class:`onetrunk.interface.Model`; the answers are those of
:class:`onetrunk.apps.engine.Engine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.app_cache import AppCache, Loaded
from onetrunk.bundle.layout import TOKENIZER, TOP, TRUNK, Bundle
from onetrunk.data.alignment import Encoded, encode_windows, window_units
from onetrunk.data.batching import STREAM_TEXTS, by_budget, in_turn
from onetrunk.data.rows import Span, TaggedText
from onetrunk.decoding import DECODERS, Decoder
from onetrunk.errors import UserError
from onetrunk.interface import listed

BATCH_TOKENS = 8192
"""Tokens times LoRAs that go through the top together; this bounds memory."""
MAX_CHARACTERS = 200_000
"""The longest text that is read."""
EMBEDDING_FAMILY = "tc"
"""The family whose primary LoRA :meth:`Runtime.embed` applies."""


class Runtime:
    """Apps of a bundle, ready to run. Thread-safe; apps can be added, replaced and removed while
    other threads predict."""

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
        self.bundle = Bundle(folder)
        self._trunk, self._top = (
            session(self.bundle.read(path), threads, str(self.bundle.folder / path))
            for path in (TRUNK, TOP)
        )
        self._tokenizer = Tokenizer.from_buffer(self.bundle.read(TOKENIZER))
        shapes = {node.name: node.shape for node in self._top.get_inputs()}
        names = self.bundle.apps if apps is None else listed(apps, "apps")
        self._app_cache = AppCache(self.bundle, shapes, names, max_loaded)

    @property
    def names(self) -> list[str]:
        """Names of all apps, in memory or not."""
        return self._app_cache.names

    @property
    def apps(self) -> Mapping[str, BundledApp]:
        """The apps in memory, by name."""
        return self._app_cache.now.apps

    def add(self, app: BundledApp) -> None:
        """Add an app, or replace the one of its name; it stays in memory. Raises
        :class:`UserError`, and changes nothing, if it does not fit the bundle."""
        self._app_cache.add(app)

    def remove(self, name: str) -> None:
        """Forget an app. Raises :class:`UserError` with the nearest name if unknown."""
        self._app_cache.remove(name)

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
        words: list[tuple[Span, ...]] = [()] * len(every)
        predictions: dict[str, list[Any]] = {}
        decoders: dict[str, Decoder] = {}
        at_once = self._app_cache.max_loaded or max(1, len(names))  # more take several passes
        for first in range(0, len(names), at_once):
            group = names[first : first + at_once]
            loaded = self._app_cache.having(group, some=apps is None)
            group = [name for name in group if name in loaded.apps]
            decoders |= {name: DECODERS[loaded.apps[name].decoder] for name in group}
            if not any(words) and any(loaded.apps[name].per_word for name in group):
                words = [TaggedText.from_text(text).words for text in every]
            predictions |= self._predictions(loaded, group, every, words)
        results = [
            {
                "text": text,
                "apps": {
                    name: decoders[name].render(text, words[number], of_app[number])
                    for name, of_app in predictions.items()
                },
            }
            for number, text in enumerate(every)
        ]
        return results[0] if isinstance(texts, str) else results

    def stream(
        self, texts: Iterable[str], apps: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """:meth:`predict` for any number of texts, one result at a time, in order.

        :data:`STREAM_TEXTS` are read ahead. Apps that are added, replaced or removed meanwhile
        count from the next ones on.
        """
        for some in in_turn([texts] if isinstance(texts, str) else texts, STREAM_TEXTS):
            yield from self.predict(some, apps)

    def embed(self, texts: str | Sequence[str]) -> np.ndarray:
        """The text classification family's embedding of each text, ``(N, D)`` float32.

        It is the pooled last state under the family's task-primary LoRA (on the bare backbone, if
        the bundle has none), not normalised. One text gives ``(D,)``. Of a text that is longer than
        a window it is the mean over its windows.
        """
        every = _readable(texts)
        windows = encode_windows(self._tokenizer, every, self.bundle.max_length)
        flat = [*chain.from_iterable(windows)]
        vectors = np.empty((len(flat), self.bundle.width), np.float32)
        for batch in by_budget([len(window.ids) for window in flat], BATCH_TOKENS):
            ids = [flat[window].ids for window in batch]
            states, mask = self._states(ids, [0], self._embedding_lora, 1)
            vectors[batch] = _pooled([states[-1][0]], mask, self.bundle.pooling)
        means = np.empty((len(every), self.bundle.width), np.float32)
        ends = np.cumsum([0, *map(len, windows)])
        for number, (first, after) in enumerate(pairwise(ends.tolist())):
            means[number] = vectors[first:after].mean(0)
        return means[0] if isinstance(texts, str) else means

    def predict_examples(self, name: str, rows: Sequence[Any]) -> list[Any]:
        """One app's predictions for rows of its family (NER: for the words they come with)."""
        loaded = self._app_cache.having([name])
        words = [getattr(row, "words", ()) for row in rows]
        return self._predictions(loaded, [name], [row.text for row in rows], words)[name]

    def logits(
        self,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        units: Sequence[Sequence[int]],
    ) -> dict[str, list[np.ndarray]]:
        """One pass over the token ids of B windows: by app, logits ``(u, C)`` of each window.

        ``units``: the token positions of each window's words, -1 where a word is not read there;
        apps of whole texts do not look at them.
        """
        return self._logits(self._app_cache.having(names), names, ids, units)

    @cached_property
    def _embedding_lora(self) -> Mapping[str, np.ndarray]:
        return self._app_cache.stack_primary(EMBEDDING_FAMILY)

    def _predictions(
        self,
        loaded: Loaded,
        names: Sequence[str],
        texts: Sequence[str],
        words: Sequence[Sequence[Span]],
    ) -> dict[str, list[Any]]:
        """Predictions by app for texts and, for apps that read each word, their words."""
        predictions: dict[str, list[Any]] = {}
        for max_length in sorted({loaded.apps[name].max_length for name in names}):
            group = [name for name in names if loaded.apps[name].max_length == max_length]
            limit = min(max_length, self.bundle.max_length)
            windows = encode_windows(self._tokenizer, texts, limit)
            predictions |= self._predictions_of_windows(loaded, group, windows, words)
        return predictions

    def _predictions_of_windows(
        self,
        loaded: Loaded,
        names: Sequence[str],
        windows: Sequence[Sequence[Encoded]],
        words: Sequence[Sequence[Span]],
    ) -> dict[str, list[Any]]:
        apps = [loaded.apps[name] for name in names]
        flat = [*chain.from_iterable(windows)]
        units: list[list[int]] = [[] for _ in flat]
        if any(app.per_word for app in apps):
            units = [*chain.from_iterable(map(window_units, words, windows))]
        parts: dict[str, list[np.ndarray]] = {app.name: [np.empty(0)] * len(flat) for app in apps}
        budget = BATCH_TOKENS // len({app.slot for app in apps})
        for batch in by_budget([len(window.ids) for window in flat], budget):
            ids = [flat[window].ids for window in batch]
            logits = self._logits(loaded, names, ids, [units[window] for window in batch])
            for name in names:
                for window, part in zip(batch, logits[name], strict=True):
                    parts[name][window] = part
        predictions: dict[str, list[Any]] = {name: [] for name in names}
        ends = np.cumsum([0, *map(len, windows)])
        for first, after in pairwise(ends.tolist()):
            tokens = [max(of_word) for of_word in zip(*units[first:after], strict=True)]
            for app in apps:
                of_text = np.concatenate(parts[app.name][first:after])
                decode = DECODERS[app.decoder].decode
                predictions[app.name].append(decode(of_text, tokens, app.labels))
        return predictions

    def _logits(
        self,
        loaded: Loaded,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        units: Sequence[Sequence[int]],
    ) -> dict[str, list[np.ndarray]]:
        apps = {name: loaded.apps[name] for name in names}
        slots = [*dict.fromkeys(app.slot for app in apps.values())]
        most = max(app.head_layers for app in apps.values())
        numbers = [loaded.slots[slot] for slot in slots]
        states, mask = self._states(ids, numbers, loaded.stacked, most)
        tokens = [[token for token in row if token >= 0] for row in units]
        gathered: dict[tuple[bool, str, int], np.ndarray] = {}  # shared by the apps of a slot
        logits = {}
        for name, app in apps.items():
            key = (app.per_word, app.slot, app.head_layers)
            if key not in gathered:
                read = [state[slots.index(app.slot)] for state in states[-app.head_layers :]]
                if app.per_word:
                    gathered[key] = _first_tokens(read, tokens)
                else:
                    gathered[key] = _pooled(read, mask, self.bundle.pooling)
            counts = map(len, tokens) if app.per_word else [1] * len(ids)
            ends = np.cumsum([*counts])[:-1]
            logits[name] = np.split(app.logits(gathered[key]), ends)
        return logits

    def _states(
        self,
        ids: Sequence[Sequence[int]],
        slots: Sequence[int],
        stacked: Mapping[str, np.ndarray],
        count: int,
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The last ``count`` states ``(G, B, T, D)`` of B windows under G of the stacked LoRAs, and
        the windows' mask ``(B, T)``."""
        input_ids = np.full((len(ids), max(map(len, ids))), self.bundle.pad_id, np.int64)
        mask = np.zeros_like(input_ids)
        for number, row in enumerate(ids):
            input_ids[number, : len(row)], mask[number, : len(row)] = row, 1
        (hidden,) = self._trunk.run(None, {"input_ids": input_ids, "attention_mask": mask})
        k = self.bundle.k
        names = [f"state_{number}" for number in range(k - min(count, k) + 1, k + 1)]
        feeds = {
            "hidden": hidden[None],
            "attention_mask": mask[None],
            "slots": np.array(slots, np.int64),
            **stacked,
        }
        states = self._top.run(names, feeds)
        if count > k:
            states = [np.broadcast_to(hidden, (len(slots), *hidden.shape)), *states]
        return states, mask


def session(graph: bytes | str, threads: int, where: str) -> onnxruntime.InferenceSession:
    """A graph, by content or path, ready to run on ``threads`` threads (0: all cores). Raises
    :class:`UserError` if onnxruntime cannot run it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        # Addition fused into the norm takes several times as long as the two operators apart.
        return onnxruntime.InferenceSession(
            graph,
            options,
            ["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # onnxruntime has no exception class of its own
        raise UserError(f"{where} cannot be used: {str(error).splitlines()[0]}") from None


def _readable(texts: Any) -> list[str]:
    every = listed(texts)
    for number, text in enumerate(every):
        if len(text) > MAX_CHARACTERS:
            raise UserError(
                f"text {number} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are "
                "read at once: cut it into its parts"
            )
    return every


def _first_tokens(states: Sequence[np.ndarray], tokens: Sequence[Sequence[int]]) -> np.ndarray:
    """States ``(B, T, D)`` of the words' first tokens, side by side: ``(U, head_layers D)``."""
    windows = np.repeat(np.arange(len(tokens)), [*map(len, tokens)])
    places = np.array([*chain.from_iterable(tokens)], np.int64)
    return np.concatenate([state[windows, places] for state in states], -1)


def _pooled(states: Sequence[np.ndarray], mask: np.ndarray, pooling: str) -> np.ndarray:
    """One vector for each window, from states ``(B, T, D)`` side by side: ``(B, head_layers D)``.
    ``pooling`` is ``mean`` (of all real tokens) or ``cls`` (the first one)."""
    if pooling == "cls":
        return np.concatenate([state[:, 0] for state in states], -1)
    weights = (mask / mask.sum(1, keepdims=True)).astype(np.float32)[:, None]
    return np.concatenate([(weights @ state)[:, 0] for state in states], -1)
