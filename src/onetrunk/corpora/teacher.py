"""A teacher for distillation: what any Hugging Face encoder says about each token of the student.

Teacher and student may have different tokenizers and widths: their tokens are aligned by character
offsets (:func:`onetrunk.data.alignment.align_tokens`), and a student token gets the mean of the
teacher tokens it overlaps, weighted by the characters they share.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import xxhash
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForTokenClassification

from onetrunk.cli.console import progress_bar
from onetrunk.corpora.shards import TeacherFeatures, plan_shards, resume, write_shard
from onetrunk.data.alignment import Encoded, Offsets, align_tokens, chain_offsets, encode
from onetrunk.data.batching import by_length
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError, nearest
from onetrunk.model.loading import load_pretrained
from onetrunk.model.padding import pad
from onetrunk.model.precision import Chosen, autocast

Output = Literal["states", "probabilities"]
SHARD_BYTES = 64 * 2**20
BATCH_ROWS = 32
_UNLIMITED = 1 << 20  # transformers gives tokenizers without a limit an astronomic one


@dataclass
class Teacher:
    """A model in evaluation mode, its tokenizer, and what to take from it.

    ``output``: last hidden ``states``, or class ``probabilities`` of a token classifier.
    ``max_length`` is the longest input in teacher tokens; text beyond it has no teacher.
    ``source`` is the name it was loaded by.
    """

    model: Any
    tokenizer: Any
    source: str
    output: Output
    max_length: int
    precision: Chosen = "fp32"

    @property
    def width(self) -> int:
        """D, the size of the vector of a token: hidden size, or number of classes."""
        config = self.model.config
        return int(config.hidden_size if self.output == "states" else config.num_labels)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @torch.no_grad()
    def vectors(self, encoded: Sequence[Encoded]) -> Tensor:
        """One vector for each token of all texts: ``(total tokens, D)`` fp32, without padding."""
        rows = [text.ids for text in encoded if text.ids]
        if not rows:
            return torch.empty(0, self.width, device=self.device)
        pad_id = self.tokenizer.pad_token_id
        # Without a padding token any id will do: the mask hides it.
        ids, mask = (part.to(self.device) for part in pad(rows, 0 if pad_id is None else pad_id))
        with autocast(self.precision, self.device):
            output = self.model(input_ids=ids, attention_mask=mask)
        vectors = output.logits if self.output == "probabilities" else output.last_hidden_state
        if vectors.shape != (*ids.shape, self.width):
            raise UserError(
                f"teacher {self.source!r} gives {self.output} of shape {tuple(vectors.shape)} for "
                f"{tuple(ids.shape)} tokens: one vector of {self.width} for each is needed"
            )
        flat = vectors[mask.bool()].float()
        return flat.softmax(dim=-1) if self.output == "probabilities" else flat

    def fingerprint(self) -> str:
        """SHA-256 of all that the vectors depend on: weights, configuration, tokenizer, options."""
        config = self.model.config.to_diff_dict()
        for name in ("_name_or_path", "transformers_version"):  # where from, and by what
            config.pop(name, None)
        tokenizer = json.loads(self.tokenizer.backend_tokenizer.to_str())
        tokenizer["truncation"] = tokenizer["padding"] = None  # left from the last call
        options = [self.output, self.max_length, self.precision]
        digest = hashlib.sha256(
            json.dumps([config, tokenizer, options], sort_keys=True, default=str).encode()
        )
        for name, tensor in sorted(self.model.state_dict().items()):
            array = tensor.detach().to("cpu").contiguous()
            digest.update(f"{name} {tuple(array.shape)} {array.dtype};".encode())
            digest.update(array.view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def load_teacher(
    name: str,
    output: Output = "states",
    max_length: int | None = None,
    precision: Chosen = "fp32",
    device: str | torch.device = "cpu",
) -> Teacher:
    """Load a teacher from a hub name, a local folder or ``package:NAME``: any architecture.

    ``max_length`` shortens what it reads. Only safetensors weights are read. Raises
    :class:`UserError` if the source does not exist, is no encoder with a hidden size and a fast
    tokenizer, or lacks a weight (for ``probabilities``: those of its classifier too).
    """
    if output not in get_args(Output):
        raise UserError(
            f"teacher output {output!r} is unknown; {nearest(output, get_args(Output))}"
        )

    def check(config: Any) -> None:
        if config.is_encoder_decoder or not isinstance(getattr(config, "hidden_size", None), int):
            raise UserError(
                f"teacher {name!r} is of type {config.model_type!r}: a text encoder with a "
                "hidden_size is needed"
            )

    loader = AutoModel if output == "states" else AutoModelForTokenClassification
    model, tokenizer = load_pretrained(name, "teacher", loader, check)
    fewest, longest = tokenizer.num_special_tokens_to_add() + 1, _longest_input(model, tokenizer)
    if max_length is not None and not fewest <= max_length <= longest:
        raise UserError(f"teacher {name!r} reads {fewest} to {longest} tokens, not {max_length}")
    model.requires_grad_(False)
    return Teacher(model.to(device), tokenizer, name, output, max_length or longest, precision)


def _longest_input(model: nn.Module, tokenizer: Any) -> int:
    """The longest input in tokens that positions, configuration and tokenizer allow."""
    limits = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa and its kin number positions from padding_idx + 1.
            taken = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - taken)
    return min(limit for limit in [*limits, _UNLIMITED] if isinstance(limit, int) and limit > 0)


def teacher_states(
    teacher: Teacher, texts: Sequence[str], offsets: Sequence[Offsets]
) -> tuple[Tensor, Tensor]:
    """What the teacher says about the student's tokens of one batch.

    ``offsets[i]`` are the character spans of the student's tokens of ``texts[i]``. Returns states
    ``(total student tokens, D)`` fp32 and mask ``(total student tokens,)``, on the teacher's
    device, text after text. Where the mask is false (special tokens, characters that the teacher's
    tokenizer deletes, text beyond its longest input) states are zero.
    """
    return _aligned(teacher, texts, offsets, encode(teacher.tokenizer, texts, teacher.max_length))


def _aligned(
    teacher: Teacher, texts: Sequence[str], offsets: Sequence[Offsets], encoded: Sequence[Encoded]
) -> tuple[Tensor, Tensor]:
    sizes = [len(text) for text in texts]
    student = chain_offsets(offsets, sizes)
    pairs = align_tokens(student, chain_offsets([text.offsets for text in encoded], sizes))
    vectors = teacher.vectors(encoded)
    at, of = (
        torch.from_numpy(index).to(vectors.device) for index in (pairs.student, pairs.teacher)
    )
    weight = torch.from_numpy(pairs.weight).to(vectors)
    states = vectors.new_zeros(len(student), teacher.width)
    states.index_add_(0, at, vectors[of] * weight[:, None])
    mask = torch.zeros(len(student), dtype=torch.bool, device=vectors.device)
    mask[at] = True
    return states, mask


def build_features(
    teacher: Teacher,
    texts: Sequence[str],
    offsets: Sequence[Offsets],
    root: Path,
    shard_bytes: int = SHARD_BYTES,
    batch_rows: int = BATCH_ROWS,
) -> TeacherFeatures:
    """:func:`teacher_states` of all texts, cached as float16 in a folder under ``root``.

    The folder's name is a hash of texts, student offsets, teacher and shard size: the same call
    finds it again, verifies every shard's hash and computes what is missing or damaged, so it goes
    on after a kill; a call with anything changed writes another. Processes take turns. Both
    sequences may read their rows from disk: they are walked once for the hash, then by the batch.

    Raises :class:`UserError` for a state that float16 cannot hold. (Scaling would give every reader
    one more thing to know; the same teacher used live has no such limit.)
    """
    if len(texts) != len(offsets):
        raise UserError(f"{len(texts)} texts, but student offsets of {len(offsets)}")
    fingerprint = teacher.fingerprint()
    key, lengths = _key_and_lengths([fingerprint, shard_bytes], texts, offsets)
    about = {
        "key": key,
        "teacher": teacher.source,
        "teacher_fingerprint": fingerprint,
        "output": teacher.output,
        "max_length": teacher.max_length,
        "precision": teacher.precision,
        "width": teacher.width,
    }
    folder = root / key
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{key}.lock"):
        plan = plan_shards(lengths, teacher.width, shard_bytes)
        missing, damaged = resume(folder, about, plan)
        notes = Notes()
        if damaged:
            notes.add("damaged teacher feature files written again", str(folder), damaged)
        with progress_bar() as bar:
            total = sum(len(plan[number]) for number in missing)
            task = bar.add_task("teacher", total=total, note="", visible=total > 0)
            for number in missing:
                rows = plan[number]
                starts = np.cumsum([0, *(lengths[row] for row in rows)])
                states = np.empty((starts[-1], teacher.width), np.float16)
                mask = np.empty(starts[-1], np.bool_)
                for batch in by_length([lengths[row] for row in rows], batch_rows):
                    tokens = np.concatenate([np.arange(starts[at], starts[at + 1]) for at in batch])
                    states[tokens], mask[tokens] = _features(
                        teacher, texts, offsets, [rows[at] for at in batch], notes
                    )
                    bar.advance(task, len(batch))
                write_shard(folder, number, rows.start, states, mask, starts, notes)
                notes = Notes()
    return TeacherFeatures.open(folder)


def _features(
    teacher: Teacher,
    texts: Sequence[str],
    offsets: Sequence[Offsets],
    rows: Sequence[int],
    notes: Notes,
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """States and mask of some rows, as one batch; what aligning finds is noted."""
    batch_texts = [texts[row] for row in rows]
    batch_offsets = [np.asarray(offsets[row], dtype=np.int64).reshape(-1, 2) for row in rows]
    encoded = encode(teacher.tokenizer, batch_texts, teacher.max_length)
    states, mask = _aligned(teacher, batch_texts, batch_offsets, encoded)
    half, mask = states.half().cpu(), mask.cpu()
    at = 0
    for row, spans, text in zip(rows, batch_offsets, encoded, strict=True):
        own = slice(at, at := at + len(spans))
        if not half[own].isfinite().all():
            raise UserError(
                f"text {row}: teacher {teacher.source!r} gives {states[own].abs().max():g}, beyond "
                "float16's 65504: use this teacher live, without a cache"
            )
        end = spans[:, 1].max(initial=0)
        teacher_end = max((stop for _, stop in text.offsets), default=0)
        if text.truncated and teacher_end < end:
            notes.add("texts that the student reads further than the teacher", f"text {row}")
        if end < teacher_end:
            notes.add("texts that the teacher reads further than the student", f"text {row}")
        alone = int((spans[:, 0] < spans[:, 1]).sum()) - int(mask[own].sum())
        if alone:
            notes.add("student tokens without a teacher token", f"text {row}", alone)
    return half.numpy(), mask.numpy()


def _key_and_lengths(
    settings: Any, texts: Iterable[str], offsets: Iterable[Offsets]
) -> tuple[str, list[int]]:
    """A hash of all that the features are made of, and each row's number of student tokens.

    The student's tokenizer is in it by what it does: its offsets.
    """
    digest = xxhash.xxh3_128(json.dumps(settings).encode())
    lengths = []
    for row, (text, spans) in enumerate(zip(texts, offsets, strict=True)):
        content = text.encode("utf-8", "surrogatepass")
        array = np.asarray(spans, dtype=np.int64).reshape(-1, 2)
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
