"""Run a bundle: onnxruntime, tokenizers, numpy; no PyTorch.

    texts ─► tokenizer ─► trunk (once a text) ─► top (one group for each distinct LoRA) ─► heads

The interface and the answers are those of :class:`onetrunk.apps.engine.Engine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from onetrunk import decoding
from onetrunk.bundle.app import PER_WORD, BundledApp
from onetrunk.bundle.app_cache import AppCache, Loaded
from onetrunk.bundle.layout import TOKENIZER, TOP, TRUNK, Bundle
from onetrunk.data.alignment import Encoded, encode_windows, window_units
from onetrunk.data.batching import STREAM_TEXTS, by_budget, in_turn
from onetrunk.data.rows import LabelledText, Span, TaggedText
from onetrunk.errors import UserError

# Tokens times LoRAs that go through the top together: what bounds memory.
BATCH_TOKENS = 8192
MAX_CHARACTERS = 200_000
"""The longest text that is read."""


class Runtime:
    """Apps of a bundle, ready to run. Thread-safe; apps can be added, replaced and removed while
    other threads predict."""

    def __init__(
        self,
        folder: Path | str,
        apps: Sequence[str] | None = None,
        threads: int = 0,
        max_loaded: int | None = None,
    ) -> None:
        """Open ``apps`` (default: all) of a bundle, to run on so many ``threads`` (0: all cores).

        ``max_loaded``: how many of them are in memory at most; others are read at their first use.
        Raises :class:`UserError` if any part is missing, damaged or does not fit.
        """
        self.bundle = Bundle(Path(folder))
        self._trunk, self._top = (
            session(self.bundle.read(path), threads, str(self.bundle.folder / path))
            for path in (TRUNK, TOP)
        )
        self._tokenizer = Tokenizer.from_buffer(self.bundle.read(TOKENIZER))
        shapes = {node.name: node.shape for node in self._top.get_inputs()}
        names = self.bundle.apps if apps is None else apps
        self._app_cache = AppCache(self.bundle, shapes, names, max_loaded)

    @property
    def names(self) -> list[str]:
        """Of all apps, in memory or not."""
        return self._app_cache.names

    @property
    def apps(self) -> Mapping[str, BundledApp]:
        """Those in memory, by name."""
        return self._app_cache.now.apps

    def add(self, app: BundledApp) -> None:
        """Add an app, or put it in the place of the one of its name; it stays in memory. Raises
        :class:`UserError`, and changes nothing, if it does not fit the bundle."""
        self._app_cache.add(app)

    def remove(self, name: str) -> None:
        """Forget an app. Raises :class:`UserError` with the nearest name if unknown."""
        self._app_cache.remove(name)

    def predict(
        self, texts: Sequence[str], apps: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Run apps (default: all) over raw texts.

        One dict a text: ``text`` and ``apps``: by app name, ``entities`` with character offsets,
        ``labels`` with ``probabilities``, or a ``value``. A text longer than an app's windows is
        read in several. Raises :class:`UserError` for an unknown app, and for a text of more than
        :data:`MAX_CHARACTERS`.
        """
        for number, text in enumerate(texts):
            if len(text) > MAX_CHARACTERS:
                raise UserError(
                    f"text {number} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are "
                    "read at once: cut it into its parts"
                )
        names = [*dict.fromkeys(self.names if apps is None else apps)]
        words: list[tuple[Span, ...]] = [()] * len(texts)
        found: dict[str, list[Any]] = {}
        max_loaded = self._app_cache.max_loaded or max(1, len(names))
        for first in range(0, len(names), max_loaded):  # as many as there is room for in one pass
            group = names[first : first + max_loaded]
            loaded = self._app_cache.having(group, some=apps is None)
            group = [name for name in group if name in loaded.apps]
            if not any(words) and any(loaded.apps[name].family in PER_WORD for name in group):
                words = [TaggedText.from_text(text).words for text in texts]
            found |= self._run(loaded, group, texts, words)
        return [
            {
                "text": text,
                "apps": {name: _render(text, words[i], of[i]) for name, of in found.items()},
            }
            for i, text in enumerate(texts)
        ]

    def stream(
        self, texts: Iterable[str], apps: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """:meth:`predict` for texts without end: of :data:`STREAM_TEXTS` at a time, in order. What
        is added, replaced or removed meanwhile counts from the next time on."""
        for some in in_turn(texts, STREAM_TEXTS):
            yield from self.predict(some, apps)

    def predict_examples(
        self, name: str, rows: Sequence[TaggedText] | Sequence[LabelledText]
    ) -> list[Any]:
        """One app's predictions for examples of its family (NER: for the words they come with)."""
        loaded = self._app_cache.having([name])
        words = [row.words if isinstance(row, TaggedText) else () for row in rows]
        return self._run(loaded, [name], [row.text for row in rows], words)[name]

    def logits(
        self,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        units: Sequence[Sequence[int]],
    ) -> dict[str, list[np.ndarray]]:
        """One pass over token ids of B windows: by app, logits ``(u, C)`` of each window's units.

        ``units``: the token positions of each window's words, -1 where a word is not read there; no
        app but those of NER looks at them.
        """
        return self._logits(self._app_cache.having(names), names, ids, units)

    def _run(
        self,
        loaded: Loaded,
        names: Sequence[str],
        texts: Sequence[str],
        words: Sequence[Sequence[Span]],
    ) -> dict[str, list[Any]]:
        """Predictions by app for texts and their words (which no app but those of NER reads)."""
        found: dict[str, list[Any]] = {}
        lengths = {loaded.apps[name].max_length for name in names}
        for max_length in sorted(lengths):
            group = [name for name in names if loaded.apps[name].max_length == max_length]
            limit = min(max_length, self.bundle.max_length)
            found |= self._run_windows(
                loaded, group, encode_windows(self._tokenizer, texts, limit), words
            )
        return found

    def _run_windows(
        self,
        loaded: Loaded,
        names: Sequence[str],
        windows: Sequence[Sequence[Encoded]],
        words: Sequence[Sequence[Span]],
    ) -> dict[str, list[Any]]:
        apps = [loaded.apps[name] for name in names]
        flat = [*chain.from_iterable(windows)]
        units: list[list[int]] = [[] for _ in flat]
        if any(app.family in PER_WORD for app in apps):
            units = [*chain.from_iterable(map(window_units, words, windows))]
        parts: dict[str, list[np.ndarray]] = {app.name: [np.empty(0)] * len(flat) for app in apps}
        budget = BATCH_TOKENS // len({app.slot for app in apps})
        for batch in by_budget([len(window.ids) for window in flat], budget):
            ids = [flat[window].ids for window in batch]
            logits = self._logits(loaded, names, ids, [units[window] for window in batch])
            for name in names:
                for window, part in zip(batch, logits[name], strict=True):
                    parts[name][window] = part
        ends = np.cumsum([0, *map(len, windows)])
        found: dict[str, list[Any]] = {name: [] for name in names}
        for first, after in pairwise(ends.tolist()):
            at = [max(of) for of in zip(*units[first:after], strict=True)]
            for app in apps:
                together = np.concatenate(parts[app.name][first:after])
                found[app.name].append(_decode(app, together, at))
        return found

    def _logits(
        self,
        loaded: Loaded,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        units: Sequence[Sequence[int]],
    ) -> dict[str, list[np.ndarray]]:
        input_ids = np.full((len(ids), max(map(len, ids))), self.bundle.pad_id, np.int64)
        mask = np.zeros_like(input_ids)
        for i, row in enumerate(ids):
            input_ids[i, : len(row)], mask[i, : len(row)] = row, 1
        (hidden,) = self._trunk.run(None, {"input_ids": input_ids, "attention_mask": mask})
        apps = {name: loaded.apps[name] for name in names}
        slots = [*dict.fromkeys(app.slot for app in apps.values())]
        k, most = self.bundle.k, max(app.head_layers for app in apps.values())
        wanted = [f"state_{number}" for number in range(k - min(most, k) + 1, k + 1)]
        feeds = {
            "hidden": hidden[None],
            "attention_mask": mask[None],
            "slots": np.array([loaded.slots[slot] for slot in slots], np.int64),
            **loaded.stacked,
        }
        states = self._top.run(wanted, feeds)  # each (G, B, T, D)
        if most > k:
            states = [np.broadcast_to(hidden, states[0].shape), *states]
        pooled: dict[tuple[str, str, int], list[np.ndarray]] = {}  # what apps of a slot share
        found = {}
        for name, app in apps.items():
            per_word = app.family in PER_WORD
            key = ("words" if per_word else "text", app.slot, app.head_layers)
            if key not in pooled:
                read = [state[slots.index(app.slot)] for state in states[-app.head_layers :]]
                pooled[key] = (
                    _first_tokens(read, units)
                    if per_word
                    else _pool(read, mask, self.bundle.pooling)
                )
            found[name] = [app.logits(part) for part in pooled[key]]
        return found


def session(graph: bytes | str, threads: int, where: str) -> onnxruntime.InferenceSession:
    """A graph, by content or path, ready to run on so many threads (0: all cores). Raises
    :class:`UserError` if it cannot be."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        # Addition fused into the norm takes several times as long as both do apart.
        return onnxruntime.InferenceSession(
            graph,
            options,
            ["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # onnxruntime's have no class of their own
        raise UserError(f"{where} cannot be used: {str(error).splitlines()[0]}") from None


def _first_tokens(states: Sequence[np.ndarray], units: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Of each window, the states of its words' first tokens: a list of ``(u, head_layers D)``."""
    places = [[at for at in row if at >= 0] for row in units]
    return [np.concatenate([state[i, at] for state in states], -1) for i, at in enumerate(places)]


def _pool(states: Sequence[np.ndarray], mask: np.ndarray, how: str) -> list[np.ndarray]:
    """One vector a window: a list of ``(1, head_layers D)``."""
    if how == "cls":
        pooled = [state[:, 0] for state in states]
    else:
        weights = (mask / mask.sum(1, keepdims=True)).astype(np.float32)[:, None]
        pooled = [(weights @ state)[:, 0] for state in states]
    return [*np.concatenate(pooled, -1)[:, None]]


def _decode(app: BundledApp, logits: np.ndarray, units: Sequence[int]) -> Any:
    match app.family:
        case "ner":
            return decoding.decode_tags(logits, units, app.labels)
        case "nested-ner":
            return decoding.decode_nested(logits, units, app.labels)
        case "tc":
            return decoding.decode_label(logits, app.labels)
        case "multi-label":
            return decoding.decode_labels(logits, app.labels)
        case _:
            return decoding.decode_rating(logits, app.labels)


def _render(text: str, words: Sequence[Span], found: Any) -> dict[str, Any]:
    if isinstance(found, decoding.Tagged):
        return decoding.render_tags(text, words, found)
    if isinstance(found, decoding.Nested):
        return decoding.render_nested(text, words, found)
    if isinstance(found, decoding.Labelled):
        return decoding.render_labels(found)
    return decoding.render_rating(found)
