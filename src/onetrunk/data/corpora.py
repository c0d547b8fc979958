"""Weak corpora, tokenised once: what stage 1 draws its batches from.

Everything is kept as flat arrays with a ``starts`` array beside them, memory-mapped, so a corpus
may be larger than memory and a second run starts at once.
"""

from __future__ import annotations

import copy
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import xxhash

from onetrunk.data.alignment import encodings, overlap, set_length
from onetrunk.data.examples import Pair, TaggedText
from onetrunk.data.notes import Notes
from onetrunk.data.prepared import Prepared, Writer

OUTSIDE, SPECIAL = -1, -2
"""In place of an entity type: a token outside entities, and a special token."""

# Rows that are tokenised together: enough for the tokenizer to share among its threads, little
# enough to keep memory flat.
CHUNK = 8192
AHEAD = 2

_Row = TypeVar("_Row")
Watch = Callable[[int], None]
"""Told how many rows are done."""


@dataclass(frozen=True)
class NerCorpus:
    """Tokenised sentences (long ones in overlapping windows) with an entity type a token."""

    store: Prepared

    @property
    def types(self) -> list[str]:
        """Entity types, by the index that :meth:`labels` holds."""
        return self.store.record["types"]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each window, ``(N,)`` int64."""
        return np.diff(self.store.arrays["starts"])

    def __len__(self) -> int:
        return len(self.store.arrays["starts"]) - 1

    def tokens(self, window: int) -> np.ndarray:
        """Token ids with special tokens, ``(T,)`` int32."""
        return _part(self.store, "tokens", "starts", window)

    def labels(self, window: int) -> np.ndarray:
        """Index of each token's entity type, ``OUTSIDE`` or ``SPECIAL``: ``(T,)`` int16."""
        return _part(self.store, "labels", "starts", window)


@dataclass(frozen=True)
class PairCorpus:
    """Tokenised pairs. A pair's texts stand in a row: query, positive, then negatives if any."""

    store: Prepared

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair's texts together, ``(N,)`` int64."""
        return np.diff(self.store.arrays["starts"][self.store.arrays["pairs"]])

    def __len__(self) -> int:
        return len(self.store.arrays["pairs"]) - 1

    def texts(self, pair: int) -> range:
        """Indices of a pair's texts."""
        first, after = self.store.arrays["pairs"][pair : pair + 2].tolist()
        return range(first, after)

    def tokens(self, text: int) -> np.ndarray:
        """Token ids with special tokens, ``(T,)`` int32."""
        return _part(self.store, "tokens", "starts", text)

    def identity(self, text: int) -> int:
        """A hash of the text's tokens: equal for texts that the encoder cannot tell apart."""
        return int(self.store.arrays["identities"][text])

    def truncated(self, text: int) -> bool:
        """Whether the text goes on beyond its last token."""
        return bool(self.store.arrays["truncated"][text])


def _part(store: Prepared, name: str, starts: str, row: int) -> np.ndarray:
    first, after = store.arrays[starts][row : row + 2]
    return store.arrays[name][first:after]


def tokenizer_sha256(tokenizer: Any) -> str:
    """Hash of all that a fast tokenizer does, whatever it last truncated or padded to."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return hashlib.sha256(backend.to_str().encode()).hexdigest()


def write_ner(
    rows: Iterable[TaggedText],
    tokenizer: Any,
    max_length: int,
    writer: Writer,
    watch: Watch = lambda done: None,
    notes: Notes | None = None,
) -> dict[str, Any]:
    """Tokenise sentences into a store that :class:`NerCorpus` reads; returns what to record.

    A token carries the entity type of the word it overlaps, of two the first. Sentences of more
    than ``max_length`` tokens become windows that overlap by a quarter. Words of entities that no
    token stands for are counted in ``notes``.
    """
    notes = Notes() if notes is None else notes
    types: dict[str, int] = {}
    done, long, end = 0, 0, 0
    writer.append("starts", np.zeros(1, np.int64))
    for chunk, encoded in _tokenised(
        rows, lambda row: [row.text], tokenizer, max_length, overlap(max_length)
    ):
        windows = [[first, *first.overflowing] for (first,) in encoded]
        flat = [window for parts in windows for window in parts]
        row_of = np.repeat(np.arange(len(chunk)), [len(parts) for parts in windows])
        lengths = np.array([len(window) for window in flat], np.int64)
        labels, lost = _labels(chunk, types, flat, np.repeat(row_of, lengths))
        for row, word in lost:
            start, after = chunk[row].words[word]
            where = f"row {done + row + 1}: {chunk[row].text[start:after]!r}"
            notes.add("entity words that no token stands for", where)
        writer.append("tokens", _ids(flat))
        writer.append("labels", labels)
        writer.append("starts", end + lengths.cumsum())
        end += int(lengths.sum())
        done += len(chunk)
        long += sum(len(parts) > 1 for parts in windows)
        watch(done)
    return {"rows": done, "long": long, "types": list(types)}


def _labels(
    rows: Sequence[TaggedText], types: dict[str, int], windows: Sequence[Any], row_of: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The label of every token of a chunk: ``row_of`` says which row each belongs to.

    And the words of entities that have no token of their own, as (row, word).
    """
    # All rows side by side in one coordinate, a gap between them, so that one search serves all.
    base = np.cumsum([0, *(len(row.text) + 1 for row in rows[:-1])])
    spans = np.array([span for row in rows for span in row.words], np.int64).reshape(-1, 2)
    spans += np.repeat(base, [len(row.words) for row in rows])[:, None]
    kinds = np.array(
        [
            OUTSIDE if tag == "O" else types.setdefault(tag[2:], len(types))
            for row in rows
            for tag in row.tags
        ],
        np.int16,
    )
    offsets = np.array([span for w in windows for span in w.offsets], np.int64).reshape(-1, 2)
    special = np.fromiter(chain.from_iterable(w.special_tokens_mask for w in windows), bool)
    start, end = (offsets + base[row_of][:, None]).T
    word = spans[:, 1].searchsorted(start, side="right")  # the first word that ends after it
    found = word < len(spans)
    word[~found] = 0
    inside = found & (start < end)
    if len(spans):
        inside &= spans[word, 0] < end
    labels = np.full(len(offsets), OUTSIDE, np.int16)
    labels[inside] = kinds[word[inside]]
    labels[special] = SPECIAL
    lost = kinds != OUTSIDE
    lost[word[inside]] = False
    first_word = np.cumsum([0, *(len(row.words) for row in rows)])
    row_of_lost = first_word.searchsorted(np.flatnonzero(lost), side="right") - 1
    places = zip(row_of_lost.tolist(), np.flatnonzero(lost).tolist(), strict=True)
    return labels, [(row, at - int(first_word[row])) for row, at in places]


def write_pairs(
    rows: Iterable[Pair],
    tokenizer: Any,
    max_length: int,
    writer: Writer,
    watch: Watch = lambda done: None,
) -> dict[str, Any]:
    """Tokenise pairs into a store that :class:`PairCorpus` reads; returns what to record.

    A text has one embedding, so one of more than ``max_length`` tokens is cut; ``cut`` counts them.
    """
    done, cut, tokens, texts = 0, 0, 0, 0
    writer.append("starts", np.zeros(1, np.int64))
    writer.append("pairs", np.zeros(1, np.int64))
    for chunk, encoded in _tokenised(
        rows, lambda pair: [pair.query, pair.positive, *pair.negatives], tokenizer, max_length
    ):
        flat = [encoding for own in encoded for encoding in own]
        ids = _ids(flat)
        ends = np.cumsum([len(encoding) for encoding in flat])
        truncated = np.array(
            [len(encoding) == max_length and bool(encoding.overflowing) for encoding in flat]
        )
        writer.append("tokens", ids)
        writer.append("starts", tokens + ends)
        writer.append("identities", _identities(ids, ends))
        writer.append("truncated", truncated)
        writer.append("pairs", texts + np.cumsum([len(own) for own in encoded]))
        tokens, texts = tokens + len(ids), texts + len(flat)
        done, cut = done + len(chunk), cut + int(truncated.sum())
        watch(done)
    return {"rows": done, "texts": texts, "cut": cut}


def _ids(encodings: Sequence[Any]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32)


def _identities(ids: np.ndarray, ends: np.ndarray) -> np.ndarray:
    data, ends = memoryview(ids.tobytes()), ends * ids.itemsize
    return np.array(
        [
            xxhash.xxh3_64_intdigest(data[start:end])
            for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
        ],
        np.uint64,
    )


def _tokenised(
    rows: Iterable[_Row],
    texts_of: Callable[[_Row], Sequence[str]],
    tokenizer: Any,
    max_length: int,
    stride: int | None = None,
) -> Iterator[tuple[list[_Row], list[list[Any]]]]:
    """Chunks of rows with the encodings of each row's texts; offsets only where windows need them.

    The tokenizer runs outside Python's lock: some chunks are under way while one is written.
    """
    backend = copy.deepcopy(tokenizer.backend_tokenizer)  # its length is set once, for all threads
    set_length(backend, max_length, stride or 0)

    def work(chunk: list[_Row]) -> tuple[list[_Row], list[list[Any]]]:
        texts = [list(texts_of(row)) for row in chunk]
        flat = iter(encodings(backend, list(chain(*texts)), offsets=stride is not None))
        return chunk, [list(islice(flat, len(own))) for own in texts]

    source, running = iter(rows), deque[Any]()
    with ThreadPoolExecutor(AHEAD) as threads:
        while chunk := list(islice(source, CHUNK)):
            running.append(threads.submit(work, chunk))
            if len(running) > AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
