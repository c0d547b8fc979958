"""Entity types as concepts: a readable name for each type, and the name's embedding."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onetrunk.corpora.store import Prepared, Writer, prepared
from onetrunk.corpora.tokenised import tokenizer_sha256
from onetrunk.data.alignment import encode
from onetrunk.data.batching import by_length
from onetrunk.data.notes import Notes
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import pool
from onetrunk.model.padding import pad
from onetrunk.progress import Progress, silent
from onetrunk.storage import key_of

# Corpora abbreviate their types; the embedded name is the one that a person would use.
_ABBREVIATIONS = {
    "per": "person", "loc": "location", "org": "organization", "misc": "miscellaneous name",
    "geo": "geographical place", "gpe": "country, city or state", "tim": "time or date",
    "art": "artifact", "eve": "event", "nat": "natural phenomenon", "dob": "date of birth",
}  # fmt: skip

# Names are embedded block by block, which bounds memory; in a block by length, which saves padding.
BLOCK, BATCH = 8192, 128
MAX_TOKENS = 64


def concept_name(label: str) -> str:
    """A label as words: ``Restaurants_1.cityName`` -> ``restaurants 1 city name``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)
    words = re.sub(r"[^0-9A-Za-z]+", " ", spaced).lower().split()
    return " ".join(_ABBREVIATIONS.get(word, word) for word in words) or label


@dataclass(frozen=True)
class NameEmbeddings:
    """Embeddings of C names, memory-mapped: a batch reads only those that it needs."""

    store: Prepared

    @property
    def mean(self) -> np.ndarray:
        """The mean of all embeddings, ``(E,)`` float32."""
        return self.store.arrays["mean"]

    def rows(self, names: np.ndarray) -> np.ndarray:
        """Unit vectors ``(len(names), E)`` float32 of the names with these indices."""
        return self.store.arrays["embeddings"].reshape(-1, len(self.mean))[names]


def name_embeddings(
    encoder: Encoder,
    names: Sequence[str],
    notes: Notes | None = None,
    progress: Progress = silent,
) -> NameEmbeddings:
    """Mean-pooled, normalised embeddings of names by the encoder as it is now.

    They are cached under the encoder's fingerprint and the names. A name of more than
    ``MAX_TOKENS`` tokens is cut, which is noted.
    """

    def make(writer: Writer) -> dict[str, Any]:
        total = np.zeros(encoder.width)
        for start in range(0, len(names), BLOCK):
            block = _embed(encoder, names[start : start + BLOCK], writer.notes)
            total += block.sum(0, dtype=np.float64)
            writer.append("embeddings", block)
            progress("embedding concept names", start + len(block), len(names))
        writer.append("mean", (total / max(1, len(names))).astype(np.float32))
        return {}

    key = key_of(
        format=1,
        encoder=encoder.fingerprint(),
        tokenizer=tokenizer_sha256(encoder.tokenizer),
        names=list(names),
    )
    return NameEmbeddings(prepared("names", key, make, notes))


@torch.no_grad()
def _embed(encoder: Encoder, names: Sequence[str], notes: Notes) -> np.ndarray:
    embeddings = torch.zeros(len(names), encoder.width)
    limit = min(MAX_TOKENS, encoder.max_length)
    encoded = encode(encoder.tokenizer, names, limit)
    for name, text in zip(names, encoded, strict=True):
        if text.truncated:
            notes.add(f"concept names cut to {limit} tokens", repr(name[:40]))
    for rows in by_length([len(text.ids) for text in encoded], BATCH):
        ids, mask = pad([encoded[row].ids for row in rows], encoder.tokenizer.pad_token_id)
        ids, mask = ids.to(encoder.device), mask.to(encoder.device)
        embeddings[rows] = pool(encoder.states(ids, mask), mask).cpu()
    return torch.nn.functional.normalize(embeddings, dim=-1).numpy()
