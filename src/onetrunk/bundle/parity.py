"""How far a bundle's logits are from PyTorch's, on texts made to be difficult."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from onetrunk.apps.engine import Engine
from onetrunk.apps.windows import Examples
from onetrunk.model.padding import pad

_PIECES = [
    "lunch", "with", "Ann", "on", "Friday", "at", "12:30", "PARIS", "can't", "e-mail", "3.14",
    "naïve", "Zürich", "日本語", "東京", "한국어", "שלום", "مرحبا", "नमस्ते", "ไทย", "😀", "👍🏽",
    "👩‍👩‍👧", "🇳🇴", "e\u0301", "\u200b", "\u200d", "\ufeff", "\u202e", "\u0000", "\ud800", "\t",
    "\n", "\u00a0", "x" * 300, "[MASK]", "[PAD]", "</s>", "&amp;", "http://a.b/c?d=e", "#tag",
    "@me", "…", "—", "''", "\\", "%s", "½", "ﬁ", "İ", "ß", "𝔘", "\u0627\u0644", "\U000e0041",
    "\u00ad", "soft\u00adly", "zero\u200bwidth", "\u2060", "wo\u2060rd", "\ufe0f", "a\ufe0fb",
    "\ufffd", "bro\ufffdken", "\ue000", "pri\ue000vate", "日\u0301本", "か\u3099", "カ\ufe00",
    "ann@b-c.org", "https://t.co/a_b?c=d).", "WWW.x.de", "@ann", "#1", "J. S", "F. ", "B. Th",
    "AT&T", "don't", "I'LL", "+49-12", "--", "...", "日.本", "9:45pm", "U.S.A.", "12/11/2026",
    "snake_case", "שָׁלוֹם", "مُحَمَّد", "\u061c",
    "❤\ufe0f\u200d🔥", "🏳\ufe0f\u200d🌈", "1\ufe0f\u20e3", "#\ufe0f\u20e3", "\u20e3", "\u0301",
    "\x85", "\x1c",
]  # fmt: skip


COMPARED = 64
"""So many texts an export is compared on."""


def hostile_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of 0 to 40 pieces: words, scripts, emoji, what is invisible, half a surrogate pair."""
    rng = random.Random(seed)
    return [
        rng.choice(["", " "]).join(rng.choices(_PIECES, k=rng.choice([0, 1, 2, 5, 12, 40])))
        for _ in range(count)
    ]


class GivesLogits(Protocol):
    """Anything with the method :meth:`Runtime.logits`."""

    def logits(
        self,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        tokens: Sequence[Sequence[int]],
    ) -> dict[str, list[np.ndarray]]:
        """By app, ``(u, C)`` of each window."""


@dataclass
class OneModel:
    """A model of one app alone, with the method :meth:`Runtime.logits`.

    ``run`` takes ids and mask ``(B, T)`` and gives logits: ``(B, T, C)`` of tokens, or ``(B, C)``
    of texts.
    """

    run: Callable[[Tensor, Tensor], np.ndarray]
    pad_id: int
    per_token: bool

    def logits(
        self,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        tokens: Sequence[Sequence[int]],
    ) -> dict[str, list[np.ndarray]]:
        """Of its app, ``(u, C)`` of each window."""
        logits = self.run(*pad(ids, self.pad_id))
        if not self.per_token:
            return {names[0]: [*logits[:, None]]}
        return {names[0]: [of_window[at] for of_window, at in zip(logits, tokens, strict=True)]}


def difference(engine: Engine, runtime: GivesLogits, texts: Sequence[str] | None = None) -> float:
    """Largest difference of any logit between the two, in standard deviations of the app's logits
    in PyTorch. ``texts``: by default :data:`COMPARED` of :func:`hostile_texts`."""
    texts = hostile_texts(COMPARED) if texts is None else texts
    worst, encoder = 0.0, engine.backbone.encoder
    for name, app in engine.apps.items():
        rows = [app.family.parse(text) for text in texts]
        examples = Examples.prepare(app.family, rows, encoder, app.max_length)
        of_engine, of_runtime = [], []
        for first in range(0, len(examples.encoded), 32):
            windows = range(first, min(first + 32, len(examples.encoded)))
            tokens = [examples.tokens[window] for window in windows]
            ids = [examples.encoded[window].ids for window in windows]
            logits = engine.logits([name], ids, {app.family.name: tokens})[name]
            of_engine.append(logits.float().cpu())
            of_runtime += runtime.logits([name], ids, tokens)[name]
        expected = torch.cat(of_engine).cpu().numpy()
        if len(expected):
            gap = np.abs(np.concatenate(of_runtime) - expected).max()
            worst = max(worst, float(gap / max(float(expected.std()), 1e-6)))
    return worst
