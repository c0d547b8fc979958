"""A pretrained BERT-family encoder, split into a trunk and a top.

    input_ids (B, T) ─► embeddings ─► layer 0 … L-k-1 ─► hidden ─► layer L-k … L-1 ─► states
                        └─────────── trunk ──────────┘             └────── top ─────┘

The weights and the layers' code are transformers' own; only the loop over layers is ours.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask

from onetrunk.data.batching import TokenIds
from onetrunk.errors import UserError, nearest
from onetrunk.model import packing


@dataclass(frozen=True)
class Architecture:
    """Where one kind of encoder keeps its layers, and what it calls their linear maps and the
    norms after attention and after the feed-forward maps."""

    layers: str
    targets: dict[str, str]
    norms: tuple[str, str]


_BERT = Architecture(
    layers="encoder.layer",
    targets={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "ffn_up": "intermediate.dense",
        "ffn_down": "output.dense",
    },
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
)
_DISTILBERT = Architecture(
    layers="transformer.layer",
    targets={
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attention_output": "attention.out_lin",
        "ffn_up": "ffn.lin1",
        "ffn_down": "ffn.lin2",
    },
    norms=("sa_layer_norm", "output_layer_norm"),
)
ARCHITECTURES: dict[str, Architecture] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
}
"""Supported encoders by ``config.model_type``. MiniLM checkpoints are of type ``bert``."""

TARGETS = tuple(_BERT.targets)
"""The linear maps of a layer that can carry LoRA, by the name onetrunk gives them."""


@dataclass
class Encoder:
    """A transformers encoder and its tokenizer, run layer by layer.

    ``source`` is the name it was loaded by, for messages and saved files.
    """

    model: Any
    tokenizer: Any
    source: str
    architecture: Architecture = field(init=False)

    def __post_init__(self) -> None:
        self.architecture = architecture_of(self.model.config, self.source)

    @property
    def layers(self) -> nn.ModuleList:
        """The L transformer layers, bottom first."""
        layers = self.model.get_submodule(self.architecture.layers)
        assert isinstance(layers, nn.ModuleList)
        return layers

    @property
    def depth(self) -> int:
        """L, the number of layers."""
        return len(self.layers)

    @property
    def width(self) -> int:
        """D, the size of a hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def max_length(self) -> int:
        """Longest input in tokens, special tokens included."""
        return int(self.model.config.max_position_embeddings) - self.first_position

    @property
    def first_position(self) -> int:
        """Number of a text's first position: RoBERTa and its kin count from pad_token_id + 1."""
        config = self.model.config
        kin = config.model_type in ("roberta", "xlm-roberta", "camembert")
        return int(config.pad_token_id) + 1 if kin else 0

    @property
    def token_embedding(self) -> nn.Embedding:
        """Token ids -> vectors, before positions and the first norm."""
        embedding = self.model.get_input_embeddings()
        assert isinstance(embedding, nn.Embedding)
        return embedding

    def linear(self, layer: int, target: str) -> nn.Linear:
        """The linear map ``target`` (one of :data:`TARGETS`) of layer ``layer``."""
        linear = self.layers[layer].get_submodule(self.architecture.targets[target])
        assert isinstance(linear, nn.Linear)
        return linear

    def trunk(self, input_ids: Tensor, attention_mask: Tensor, k: int) -> Tensor:
        """Embeddings and layers below the last ``k``: ``(B, T)`` int64 twice -> ``(B, T, D)``."""
        hidden = self.model.embeddings(input_ids=input_ids)
        if hasattr(self.model, "embeddings_project"):  # ELECTRA with narrow embeddings
            hidden = self.model.embeddings_project(hidden)
        return self.run(hidden, attention_mask, 0, self.depth - k)

    def top(self, hidden: Tensor, attention_mask: Tensor, k: int, reads: int = 1) -> Tensor:
        """The last ``k`` layers: hidden ``(B, T, D)``, mask ``(B, T)`` -> states
        ``(B, T, reads D)``: see :meth:`run`."""
        return self.run(hidden, attention_mask, self.depth - k, self.depth, reads)

    def run(
        self, hidden: Tensor, attention_mask: Tensor, start: int, stop: int, reads: int = 1
    ) -> Tensor:
        """Layers ``start`` … ``stop - 1`` of ``(B, T, D)`` under the padding mask ``(B, T)``.

        Returns ``(B, T, reads D)``: the last ``reads`` of the states, the final one last. They are
        what enters the first of these layers, and what leaves each of them.
        """
        kept = _kept(hidden, start, stop, reads)
        if start == stop:
            return hidden
        mask = create_bidirectional_mask(
            config=self.model.config, inputs_embeds=hidden, attention_mask=attention_mask
        )
        for layer in self.layers[start:stop]:
            kept.append(layer(kept[-1], mask))
        return _joined(kept)

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The whole forward, ``(B, T)`` -> ``(B, T, D)``."""
        return self.run(
            self.trunk(input_ids, attention_mask, self.depth), attention_mask, 0, self.depth
        )

    def packed(self, texts: Sequence[TokenIds]) -> tuple[Tensor, Tensor]:
        """The whole forward without padding: states ``(B, T, D)`` and mask ``(B, T)`` int64.

        The same as :meth:`states` of padded texts, but for zeros on padding. Texts lie side by side
        on their way; it is fastest if those of equal length are neighbours.
        """
        lengths = list(map(len, texts))
        hidden = self.run_packed(self.embed_packed(texts), lengths, 0, self.depth)
        return packing.unpack(hidden, lengths)

    def embed_packed(self, texts: Sequence[TokenIds]) -> Tensor:
        """What enters the first layer, texts side by side: ``(N, D)`` of N tokens in all."""
        ids = torch.from_numpy(np.concatenate([np.asarray(text, np.int64) for text in texts]))
        places = packing.positions_of(list(map(len, texts))) + self.first_position
        hidden = self.model.embeddings(
            input_ids=ids.to(self.device)[None], position_ids=places.to(self.device)[None]
        )
        if hasattr(self.model, "embeddings_project"):  # ELECTRA with narrow embeddings
            hidden = self.model.embeddings_project(hidden)
        assert isinstance(hidden, Tensor)
        return hidden[0]

    def run_packed(
        self, hidden: Tensor, lengths: Sequence[int], start: int, stop: int, reads: int = 1
    ) -> Tensor:
        """:meth:`run` for texts of these lengths side by side: ``(N, D)`` -> ``(N, reads D)``."""
        kept = _kept(hidden[None], start, stop, reads)
        groups = packing.groups_of(lengths, hidden.device)
        for layer in self.layers[start:stop]:
            kept.append(layer(kept[-1], None, groups=groups))
        return _joined(kept)[0]

    def freeze(self) -> None:
        """No gradients and no dropout from here on."""
        self.model.requires_grad_(False)
        self.model.eval()

    def in_bf16(self) -> Encoder:
        """A frozen copy whose layers hold their linear maps in bf16, so that autocast has nothing
        to cast at every step. All but the layers is shared."""
        model = deepcopy(self.model, {id(self.model.embeddings): self.model.embeddings})
        copy = replace(self, model=model)
        copy.freeze()
        for module in copy.layers.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
        return copy

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and bytes of the weights that states depend on.

        The pooler is left out: onetrunk never runs it.
        """
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            if name.startswith("pooler."):
                continue
            array = tensor.detach().to("cpu").contiguous()
            digest.update(f"{name} {tuple(array.shape)} {array.dtype};".encode())
            digest.update(array.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _kept(hidden: Tensor, start: int, stop: int, reads: int) -> deque[Tensor]:
    """Holds the last ``reads`` states, ``hidden`` as the first."""
    if not 1 <= reads <= stop - start + 1:
        raise ValueError(f"{reads} states of {stop - start} layers")
    return deque([hidden], maxlen=reads)


def _joined(kept: deque[Tensor]) -> Tensor:
    """The states side by side; one alone is not copied."""
    return kept[0] if len(kept) == 1 else torch.cat([*kept], -1)


def architecture_of(config: Any, source: str) -> Architecture:
    """The layout of a supported encoder, or a :class:`UserError` that lists what is supported."""
    try:
        return ARCHITECTURES[config.model_type]
    except KeyError:
        hint = nearest(str(config.model_type), ARCHITECTURES)
        raise UserError(
            f"encoder {source!r} is of type {config.model_type!r}, which cannot be split; {hint}"
        ) from None
