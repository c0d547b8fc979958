"""Many apps over the same texts in one pass.

    texts ─► trunk (once a text) ─► top, G groups: one for each distinct adapter ─► heads ─► apps

N apps with a LoRA each cost ``trunk + N x top``; apps that are a linear head alone share the top of
their family's primary LoRA.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor

from onetrunk.apps.embedding import embed
from onetrunk.apps.top import CHUNK_TOKENS, Top
from onetrunk.apps.windows import Examples, OfUnits
from onetrunk.data.batching import STREAM_TEXTS, TokenIds, by_tokens, in_turn
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Place, Span, numbered
from onetrunk.decoding import abstain
from onetrunk.errors import UserError, nearest
from onetrunk.families.base import Family
from onetrunk.interface import listed, stream_results, streamed
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import NONE
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.packing import unpack
from onetrunk.model.precision import Precision, choose

if TYPE_CHECKING:
    from onetrunk.apps.app import App


class Engine:
    """Apps on one backbone, ready to run. Thread-safe: running changes no state.

    Nor does anything else. To change apps while requests run, go on with another engine
    (:meth:`with_apps`, :meth:`without`): a request has the apps of the engine that it was put to.

    ``precision`` is that of the encoder's products; heads are fp32. ``auto``: bf16 where it is
    measured to be faster, which holds a second copy of the layers.

    ```python
    import onetrunk

    engine = onetrunk.load("apps/news", "apps/intents")
    print(engine.predict("book a table in Oslo", ["news"]))
    fewer = engine.without("news")
    ```
    """

    def __init__(
        self, backbone: Backbone, apps: Mapping[str, App], precision: Precision = "fp32"
    ) -> None:
        self.backbone = backbone
        backbone.encoder.freeze()
        self.precision = choose(precision, backbone.encoder.device, backbone.encoder.width)
        self._encoder = backbone.encoder
        if self.precision == "bf16":
            self._encoder = backbone.encoder.in_bf16()
        self._hold(apps)

    def _hold(self, apps: Mapping[str, App]) -> None:
        self.apps = dict(apps)
        adapters = {}
        self._slot_of = {}
        for name, app in apps.items():
            app.check(self.backbone, name)
            if app.adapter is not None:
                self._slot_of[name] = f"app:{name}"
                adapters[f"app:{name}"] = app.adapter
            else:
                self._slot_of[name] = app.family_of_primary
                if app.family_of_primary != NONE:
                    adapters[app.family_of_primary] = self.backbone.primary_loras[
                        app.family_of_primary
                    ]
        self._adapters = adapters
        self._stack = LoraStack(self._encoder, adapters)
        if self.precision == "bf16":
            self._stack.in_bf16()

    def with_apps(self, apps: Mapping[str, App | str | Path]) -> Engine:
        """An engine with these apps, too, in place of those of the same names; an app may be given
        as its folder. The engine shares the encoder with this one, which stays as it is."""
        from onetrunk.apps.load import opened

        return self._with({**self.apps, **opened(apps, self.backbone)})

    def without(self, *names: str | Sequence[str]) -> Engine:
        """An engine without these apps, which are given as names or lists of names. This one stays
        as it is. Raises :class:`UserError` for an unknown app."""
        gone = [name for given in names for name in listed(given, "names of apps")]
        for name in gone:
            self.app(name)
        return self._with({name: app for name, app in self.apps.items() if name not in gone})

    def _with(self, apps: Mapping[str, App]) -> Engine:
        other = copy(self)
        other._hold(apps)
        return other

    def __repr__(self) -> str:
        return f"Engine of {', '.join(self.names) or 'no apps'} on {self.backbone.encoder.source}"

    @property
    def names(self) -> list[str]:
        """The apps' names."""
        return list(self.apps)

    def app(self, name: str) -> App:
        """Look an app up. Raises :class:`UserError` with the nearest name if unknown."""
        try:
            return self.apps[name]
        except KeyError:
            raise UserError(f"unknown app {name!r}; {nearest(name, self.apps)}") from None

    @overload
    def predict(self, texts: str, apps: Sequence[str] | None = None) -> dict[str, Any]: ...

    @overload
    def predict(
        self, texts: list[str] | tuple[str, ...], apps: Sequence[str] | None = None
    ) -> list[dict[str, Any]]: ...

    def predict(self, texts: Any, apps: Sequence[str] | None = None) -> Any:
        """Run apps (default: all) over one text or many: :meth:`onetrunk.interface.Model.predict`.

        A text longer than an app's windows is read in several.
        """
        results = self._results(listed(texts), apps)
        return results[0] if isinstance(texts, str) else results

    def _results(self, texts: list[str], apps: Sequence[str] | None) -> list[dict[str, Any]]:
        names = self.names if apps is None else listed(apps, "apps")
        results: list[dict[str, Any]] = [{"text": text, "apps": {}} for text in texts]
        for max_length in sorted({self.app(name).max_length for name in names}):
            group = [name for name in names if self.apps[name].max_length == max_length]
            examples = {
                family.name: self._examples(
                    family, [family.parse(text) for text in texts], max_length
                )
                for family in (self.apps[name].family for name in group)
            }
            predictions = self._run(group, examples)
            for name in group:
                family = self.apps[name].family
                rows = examples[family.name].rows
                for i, result in enumerate(results):
                    result["apps"][name] = family.render(rows[i], predictions[name][i])
        return results

    def embed(self, texts: Any) -> np.ndarray:
        """The text classification family's embeddings: :meth:`onetrunk.interface.Model.embed`."""
        embeddings = embed(self.backbone, self._encoder, self.precision, listed(texts))
        return embeddings[0] if isinstance(texts, str) else embeddings

    def stream(
        self, texts: Iterable[str | UserError], apps: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """:meth:`onetrunk.interface.Model.stream`; it reads :data:`STREAM_TEXTS` ahead."""
        batches = in_turn(streamed(texts), STREAM_TEXTS)
        yield from stream_results(batches, lambda batch: self._results(batch, apps))

    def predict_examples(
        self,
        name: str,
        rows: Sequence[Any],
        place: Place | None = None,
        abstaining: bool = True,
    ) -> list[Any]:
        """One app's predictions for examples of its family.

        If the examples are labelled, ``place`` says where each is from: entities that no answer
        can be right about are then logged (:meth:`Examples.note_cut_entities`). Unless
        ``abstaining``, every answer is given (:func:`onetrunk.decoding.abstain`).
        """
        return self.predict_all([name], rows, place, abstaining)[name]

    def predict_all(
        self,
        names: Sequence[str],
        rows: Sequence[Any],
        place: Place | None = None,
        abstaining: bool = True,
    ) -> dict[str, list[Any]]:
        """:meth:`predict_examples` of several apps, by app; in one pass where they read windows of
        one length. Raises :class:`UserError` unless they are of one family."""
        predictions: dict[str, list[Any]] = {}
        notes = Notes()
        if len(families := {self.app(name).family.name for name in names}) > 1:
            raise UserError(f"these apps are of several families: {', '.join(sorted(families))}")
        for max_length in sorted({self.app(name).max_length for name in names}):
            group = [name for name in names if self.apps[name].max_length == max_length]
            family = self.apps[group[0]].family
            examples = self._examples(family, rows, max_length)
            if place and not notes.found:  # units hardly depend on the length of windows
                examples.note_cut_entities(place, notes)
            predictions |= self._run(group, {family.name: examples}, abstaining)
        notes.log()
        return {name: predictions[name] for name in names}

    def unit_probabilities(self, name: str, rows: Sequence[Any]) -> list[OfUnits]:
        """What an app says of examples of its family before it decides: of each example
        :meth:`Family.probabilities` ``(u, C)`` fp32 on the CPU. A whole text has one row, from
        the mean logits of its windows."""
        app = self.app(name)
        examples = {app.family.name: self._examples(app.family, rows, app.max_length)}
        answered = self._logits_by_example([name], examples)[name]
        probabilities = []
        for _, logits, units in answered:
            if len(logits) != len(units):  # a row for each window of a whole text
                logits = logits.mean(0, keepdim=True)
            probabilities.append(OfUnits(units, app.family.probabilities(logits.float())))
        return probabilities

    def score(self, name: str, rows: Sequence[Any], where: str) -> dict[str, float]:
        """Metrics of an app on labelled examples. Raises :class:`UserError` for an unseen label."""
        return self.score_all([name], rows, where)[name]

    def score_all(
        self, names: Sequence[str], rows: Sequence[Any], where: str
    ) -> dict[str, dict[str, float]]:
        """:meth:`score` of several apps of one family, by app."""
        for name in names:
            family = self.app(name).family
            family.check_rows(rows, numbered(where))
            family.check_labels(rows, self.apps[name].labels, numbered(where))
        predictions = self.predict_all(names, rows, numbered(where))
        return {name: self.apps[name].family.score(rows, predictions[name]) for name in names}

    def _examples(self, family: Family[Any, Any], rows: Sequence[Any], max_length: int) -> Examples:
        return Examples.prepare(family, rows, self.backbone.encoder, max_length)

    def _run(
        self, names: Sequence[str], examples: Mapping[str, Examples], abstaining: bool = True
    ) -> dict[str, list[Any]]:
        """Predictions by app. ``examples`` holds the same texts once for each family."""
        predictions = {}
        for name, answered in self._logits_by_example(names, examples).items():
            app, family = self.apps[name], self.apps[name].family
            of_app = [
                (family.text(row), family.decode(logits, units, app.labels))
                for row, logits, units in answered
            ]
            predictions[name] = [
                abstain(family.decoder, *one, app.none_below) if abstaining else one[1]
                for one in of_app
            ]
        return predictions

    def _logits_by_example(
        self, names: Sequence[str], examples: Mapping[str, Examples]
    ) -> dict[str, list[tuple[Any, Tensor, Sequence[Span]]]]:
        """By app and example: itself, its logits ``(u, C)`` and its units."""
        shared = next(iter(examples.values()))
        of_app = {name: examples[self.apps[name].family.name] for name in names}
        parts: dict[str, list[Any]] = {name: [None] * len(shared.encoded) for name in names}
        for windows in by_tokens(shared.lengths, CHUNK_TOKENS):
            tokens = {
                kind: [of_family.tokens[window] for window in windows]
                for kind, of_family in examples.items()
            }
            logits = self.logits(names, [shared.encoded[w].ids for w in windows], tokens)
            for name in names:
                split = logits[name].cpu().split(of_app[name].counts(windows))
                for window, part in zip(windows, split, strict=True):
                    parts[name][window] = part
        return {name: of_app[name].joined(parts[name]) for name in names}

    @torch.inference_mode()
    def logits(
        self,
        names: Sequence[str],
        texts: Sequence[TokenIds],
        tokens: Mapping[str, Sequence[Sequence[int]]],
    ) -> dict[str, Tensor]:
        """One pass over token ids: by app, logits ``(U, C)`` of its units.

        ``tokens[family]`` gives the token positions of each text's units.
        """
        users: dict[str, list[str]] = {}
        for name in names:
            users.setdefault(self._slot_of[name], []).append(name)
        slots, depth = list(users), self._encoder.depth
        most = max((self.apps[name].head_layers for name in names), default=1)
        lowest = [self._adapters[slot].layers[0] for slot in slots if slot != NONE]
        start = min([*lowest, depth + 1 - most])
        lengths = list(map(len, texts))
        top = Top(self._encoder, self._stack, depth - start, self.precision)
        hidden = top.below(texts)
        logits: dict[str, Tensor] = {}
        at_once = max(1, CHUNK_TOKENS // sum(lengths))  # more are no faster, and take memory
        for first in range(0, len(slots), at_once):
            group = slots[first : first + at_once]
            with self._stack.route(self._stack.slots(group), shared_input=start):
                states = top.run(hidden.expand(len(group), -1, -1), lengths, most)
            padded, mask = unpack(states, lengths)
            for slot, of_slot in zip(group, padded, strict=True):
                logits |= self._heads(users[slot], of_slot, mask, tokens)
        return {name: logits[name] for name in names}

    def _heads(
        self,
        names: Sequence[str],
        states: Tensor,
        mask: Tensor,
        tokens: Mapping[str, Sequence[Sequence[int]]],
    ) -> dict[str, Tensor]:
        """Logits of the apps that read the same states ``(B, T, head_layers D)``."""
        gathered: dict[str, Tensor] = {}  # apps of one family share this too
        logits = {}
        for name in names:
            app = self.apps[name]
            kind = app.family.name
            if kind not in gathered:
                gathered[kind] = app.family.gather(
                    states, mask, tokens[kind], self.backbone.pooling
                )
            logits[name] = app.logits(gathered[kind][:, -app.head_layers * self._encoder.width :])
        return logits
