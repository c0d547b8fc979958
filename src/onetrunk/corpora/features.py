"""Teacher states of all texts of a corpus, computed once and kept in the cache.

They are float16 and lie in shards: stores of consecutive rows. A build that was killed goes on
after its last whole shard, and a damaged shard is computed again alone.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from onetrunk.corpora.store import Prepared, Writer, prepared
from onetrunk.corpora.teacher import Teacher, aligned_states
from onetrunk.data.alignment import Offsets, encode
from onetrunk.data.batching import by_length
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.progress import Progress, silent
from onetrunk.storage import key_of

# Larger shards need fewer file descriptors: an open shard has three, and a process may have about a
# thousand. Smaller shards lose less work if the build is killed.
SHARD_BYTES = 256 * 2**20
BATCH_ROWS = 32


class TeacherFeatures:
    """Teacher states of N texts, read at random. Rows have the numbers that the texts had.

    ``width`` is D, the size of a state.
    """

    def __init__(self, shards: Sequence[Prepared], width: int) -> None:
        self.shards, self.width = shards, width
        sizes = [len(shard.arrays["starts"]) - 1 for shard in shards]
        self._firsts = np.cumsum([0, *sizes]).tolist()  # the first row of each shard; last, N

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def row(self, index: int) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """States ``(T, D)`` float16 and mask ``(T,)`` bool of one text.

        Where the mask is false, the teacher has no state, and the state is zero.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"teacher features: row {index} of {len(self)}")
        number = bisect_right(self._firsts, index) - 1
        arrays, row = self.shards[number].arrays, index - self._firsts[number]
        start, end = arrays["starts"][row : row + 2].tolist()
        return arrays["states"].reshape(-1, self.width)[start:end], arrays["mask"][start:end]


def build_features(
    teacher: Teacher,
    texts: Sequence[str],
    offsets: Sequence[Offsets],
    notes: Notes | None = None,
    progress: Progress = silent,
    shard_bytes: int = SHARD_BYTES,
    batch_rows: int = BATCH_ROWS,
) -> TeacherFeatures:
    """:func:`~onetrunk.corpora.teacher.teacher_states` of all texts, from the cache if they are
    there.

    The key of a shard is made of texts, student offsets, teacher, shard size and number. Both
    sequences may read their rows from disk: they are walked once for the key, then batch by batch.
    Findings of the alignment are added to ``notes``.

    Raises :class:`UserError` for a state that float16 cannot hold. (Scaled states would give every
    reader one more thing to know. Without a cache the same teacher has no such limit.)
    """
    if len(texts) != len(offsets):
        raise UserError(f"{len(texts)} texts, but student offsets of {len(offsets)}")
    content, lengths = _content_and_lengths(texts, offsets)
    fingerprint = teacher.fingerprint()
    shards = []
    for number, rows in enumerate(plan_shards(lengths, teacher.width, shard_bytes)):
        key = key_of(
            format=1, teacher=fingerprint, content=content, shard_bytes=shard_bytes, shard=number
        )
        write = partial(_write_shard, teacher, texts, offsets, rows, batch_rows, progress)
        shards.append(prepared("teacher", key, write, notes))
    return TeacherFeatures(shards, teacher.width)


def plan_shards(lengths: Sequence[int], width: int, shard_bytes: int) -> list[range]:
    """Consecutive rows whose float16 states fill at most ``shard_bytes``, but at least one row.

    ``lengths`` are the numbers of tokens of all rows, ``width`` is the size of a state.
    """
    if not lengths:
        return []
    shards, first, tokens = [], 0, 0
    for row, length in enumerate(lengths):
        if row > first and (tokens + length) * width * 2 > shard_bytes:
            shards.append(range(first, row))
            first, tokens = row, 0
        tokens += length
    return [*shards, range(first, len(lengths))]


def _write_shard(
    teacher: Teacher,
    texts: Sequence[str],
    offsets: Sequence[Offsets],
    rows: range,
    batch_rows: int,
    progress: Progress,
    writer: Writer,
) -> dict[str, Any]:
    """Fill a store with the states of some consecutive rows, and where each row begins."""
    lengths = [len(offsets[row]) for row in rows]
    starts = np.cumsum([0, *lengths])
    states = np.empty((starts[-1], teacher.width), np.float16)
    mask = np.empty(starts[-1], np.bool_)
    done = rows.start
    for batch in by_length(lengths, batch_rows):
        progress("teacher states", done, len(texts))
        tokens = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in batch])
        states[tokens], mask[tokens] = _batch_features(
            teacher, texts, offsets, [rows[row] for row in batch], writer.notes
        )
        done += len(batch)
    progress("teacher states", done, len(texts))
    for name, values in (("states", states), ("mask", mask), ("starts", starts)):
        writer.append(name, values)
    return {}


def _batch_features(
    teacher: Teacher,
    texts: Sequence[str],
    offsets: Sequence[Offsets],
    rows: Sequence[int],
    notes: Notes,
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """States and mask of some rows, in one batch."""
    batch_texts = [texts[row] for row in rows]
    batch_offsets = [_as_array(offsets[row]) for row in rows]
    encoded = encode(teacher.tokenizer, batch_texts, teacher.max_length)
    states, mask = aligned_states(teacher, batch_texts, batch_offsets, encoded)
    half, mask = states.half().cpu(), mask.cpu()
    end = 0
    for row, spans, text in zip(rows, batch_offsets, encoded, strict=True):
        tokens = slice(end, end := end + len(spans))
        if not half[tokens].isfinite().all():
            raise UserError(
                f"text {row}: teacher {teacher.source!r} gives {states[tokens].abs().max():g}, "
                "beyond float16's 65504: use this teacher live, without a cache"
            )
        student_end = spans[:, 1].max(initial=0)
        teacher_end = max((stop for _, stop in text.offsets), default=0)
        if text.truncated and teacher_end < student_end:
            notes.add("texts that the student reads further than the teacher", f"text {row}")
        if student_end < teacher_end:
            notes.add("texts that the teacher reads further than the student", f"text {row}")
        visible = int((spans[:, 0] < spans[:, 1]).sum())
        if without_teacher := visible - int(mask[tokens].sum()):
            notes.add("student tokens without a teacher token", f"text {row}", without_teacher)
    return half.numpy(), mask.numpy()


def _content_and_lengths(texts: Iterable[str], offsets: Iterable[Offsets]) -> tuple[str, list[int]]:
    """A hash of texts and student offsets, and the number of student tokens of each row.

    The offsets are all that the states depend on of the student's tokenizer.
    """
    digest = xxhash.xxh3_128()
    lengths = []
    for row, (text, spans) in enumerate(zip(texts, offsets, strict=True)):
        content, array = text.encode("utf-8", "surrogatepass"), _as_array(spans)
        if array.max(initial=0) > len(text):
            raise UserError(
                f"text {row}: a student token ends at character {array.max()} of {len(text)}: "
                "offsets and texts are not of the same rows"
            )
        digest.update(f"{len(content)} {len(array)};".encode())
        digest.update(content)
        digest.update(array.tobytes())
        lengths.append(len(array))
    return digest.hexdigest(), lengths


def _as_array(offsets: Offsets) -> NDArray[np.int64]:
    return np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
