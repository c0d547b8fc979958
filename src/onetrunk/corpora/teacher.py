"""A teacher for distillation: the states of any Hugging Face encoder, on the student's tokens.

Teacher and student may have different tokenizers and widths. Their tokens are aligned by character
offsets (:func:`onetrunk.data.alignment.align_tokens`): a student token gets the mean of the teacher
tokens that it overlaps, weighted by the number of characters that the two share.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForTokenClassification

from onetrunk.data.alignment import Encoded, Offsets, align_tokens, chain_offsets, encode
from onetrunk.errors import UserError, nearest
from onetrunk.model.encoder import sha256_of_tensors
from onetrunk.model.loading import load_pretrained
from onetrunk.model.padding import pad
from onetrunk.model.precision import Chosen, autocast

Output = Literal["states", "probabilities"]
# transformers gives a tokenizer without a limit an astronomic one.
_UNLIMITED = 1 << 20


@dataclass
class Teacher:
    """A model in evaluation mode, its tokenizer, and which of its outputs to use.

    ``output`` is ``states``, the last hidden ones, or ``probabilities``, those of a token
    classifier's classes. ``max_length`` is the longest input in teacher tokens; student tokens
    beyond it get no state. ``source`` is the name that the teacher was loaded by.
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
        """One vector for each token of all texts, without padding: ``(total tokens, D)`` fp32."""
        rows = [text.ids for text in encoded if text.ids]
        if not rows:
            return torch.empty(0, self.width, device=self.device)
        pad_id = self.tokenizer.pad_token_id
        # Without a padding token any id serves: the mask hides it.
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
        """SHA-256 of everything that the vectors depend on: weights, configuration, tokenizer,
        options."""
        config = self.model.config.to_diff_dict()
        for name in ("_name_or_path", "transformers_version"):  # these change no vector
            config.pop(name, None)
        tokenizer = json.loads(self.tokenizer.backend_tokenizer.to_str())
        tokenizer["truncation"] = tokenizer["padding"] = None  # what the last call left
        options = [self.output, self.max_length, self.precision]
        prefix = json.dumps([config, tokenizer, options], sort_keys=True, default=str)
        return sha256_of_tensors(self.model.state_dict(), prefix)


def load_teacher(
    name: str,
    output: Output = "states",
    max_length: int | None = None,
    precision: Chosen = "fp32",
    device: str | torch.device = "cpu",
) -> Teacher:
    """Load a teacher from a hub name, a local folder or ``package:NAME``: any architecture.

    ``max_length`` limits the tokens that it reads. Only safetensors weights are read. Raises
    :class:`UserError` if the source does not exist, is no encoder with a hidden size and a fast
    tokenizer, or lacks a weight (for ``probabilities`` also a weight of its classifier).
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
    """The teacher's states of the student's tokens, for one batch.

    ``offsets[i]`` are the character spans of the student's tokens of ``texts[i]``. Returns states
    ``(total student tokens, D)`` fp32 and mask ``(total student tokens,)`` bool, text after text,
    on the teacher's device. Where the mask is false, the teacher has no state and the result is
    zero: special tokens, characters that the teacher's tokenizer deletes, and text beyond the
    teacher's longest input.
    """
    encoded = encode(teacher.tokenizer, texts, teacher.max_length)
    return aligned_states(teacher, texts, offsets, encoded)


def aligned_states(
    teacher: Teacher, texts: Sequence[str], offsets: Sequence[Offsets], encoded: Sequence[Encoded]
) -> tuple[Tensor, Tensor]:
    """:func:`teacher_states` of texts that the teacher's tokenizer has ``encoded`` already."""
    sizes = [len(text) for text in texts]
    student = chain_offsets(offsets, sizes)
    pairs = align_tokens(student, chain_offsets([text.offsets for text in encoded], sizes))
    vectors = teacher.vectors(encoded)
    student_token, teacher_token = (
        torch.from_numpy(index).to(vectors.device) for index in (pairs.student, pairs.teacher)
    )
    weight = torch.from_numpy(pairs.weight).to(vectors)
    states = vectors.new_zeros(len(student), teacher.width)
    states.index_add_(0, student_token, vectors[teacher_token] * weight[:, None])
    mask = torch.zeros(len(student), dtype=torch.bool, device=vectors.device)
    mask[student_token] = True
    return states, mask
