"""A pretrained BERT-family encoder, run layer by layer.

    input_ids ─► embeddings ─► layer 0 … L-k-1 ─► hidden ─► layer L-k … L-1 ─► states
                 └─────────── trunk ──────────┘             └────── top ─────┘

The weights and the layers' code are transformers' own; only the loop over layers is ours.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask

from onetrunk.data.batching import TokenIds
from onetrunk.model import packing
from onetrunk.model.architecture import ROBERTA, Architecture, architecture_of


@dataclass
class Encoder:
    """A transformers encoder and its tokenizer, run layer by layer.

    ``source`` is the name that it was loaded by, for messages and saved files.
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
        """Number of a text's first position: in RoBERTa and its relatives, pad_token_id + 1."""
        config = self.model.config
        return int(config.pad_token_id) + 1 if config.model_type in ROBERTA else 0

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of token vectors, to which positions are added before the first norm."""
        embedding = self.model.get_input_embeddings()
        assert isinstance(embedding, nn.Embedding)
        return embedding

    def linear(self, layer: int, target: str) -> nn.Linear:
        """The linear map ``target`` (one of
        :data:`~onetrunk.model.architecture.TARGETS`) of layer ``layer``."""
        linear = self.layers[layer].get_submodule(self.architecture.targets[target])
        assert isinstance(linear, nn.Linear)
        return linear

    def embed(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """The input of the first layer: ``(B, T)`` int64 -> ``(B, T, D)``."""
        hidden = self.model.embeddings(input_ids=input_ids, position_ids=position_ids)
        if hasattr(self.model, "embeddings_project"):  # ELECTRA with narrow embeddings
            hidden = self.model.embeddings_project(hidden)
        assert isinstance(hidden, Tensor)
        return hidden

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The whole forward with a padding mask: ``(B, T)`` int64 twice -> ``(B, T, D)``."""
        hidden = self.embed(input_ids)
        mask = create_bidirectional_mask(
            config=self.model.config, inputs_embeds=hidden, attention_mask=attention_mask
        )
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return hidden

    def packed(self, texts: Sequence[TokenIds]) -> tuple[Tensor, Tensor]:
        """The whole forward without padding: states ``(B, T, D)`` and mask ``(B, T)`` int64.

        The states equal those that :meth:`states` returns for padded texts, but are zero on
        padding. Inside, texts lie one after another. It is fastest if texts of equal length are
        neighbours.
        """
        lengths = list(map(len, texts))
        hidden = self.run_packed(self.embed_packed(texts), lengths, 0, self.depth)
        return packing.unpack(hidden, lengths)

    def embed_packed(self, texts: Sequence[TokenIds]) -> Tensor:
        """:meth:`embed` for packed texts: ``(N, D)``, for N tokens in all."""
        ids = [np.asarray(text, np.int64) for text in texts]
        positions = [self._positions(text) for text in ids]
        flat = (torch.from_numpy(np.concatenate(rows))[None] for rows in (ids, positions))
        return self.embed(*(tensor.to(self.device) for tensor in flat))[0]

    def _positions(self, ids: np.ndarray) -> np.ndarray:
        """Positions of the tokens of one text. In RoBERTa and its relatives a padding token has no
        position of its own, even if the text itself says "<pad>"."""
        if not self.first_position:
            return np.arange(len(ids))
        pad = self.model.config.pad_token_id
        real = ids != pad
        positions: np.ndarray = np.cumsum(real) * real + pad
        return positions

    def run_packed(
        self, hidden: Tensor, lengths: Sequence[int], start: int, stop: int, head_layers: int = 1
    ) -> Tensor:
        """Run layers ``start`` … ``stop - 1`` on packed texts of these lengths.

        ``hidden`` is one pack ``(N, D)``, or G packs ``(G, N, D)``. Returns
        ``(..., N, head_layers D)``: the last ``head_layers`` states of each token one after
        another, the final state last. The states of a token are the input of layer ``start`` and
        the outputs of the layers.
        """
        if not 1 <= head_layers <= stop - start + 1:
            raise ValueError(f"{head_layers} states of {stop - start} layers")
        last = deque([hidden.reshape(-1, *hidden.shape[-2:])], maxlen=head_layers)
        groups = packing.groups_of(lengths, hidden.device)
        for layer in self.layers[start:stop]:
            last.append(layer(last[-1], None, groups=groups))
        states = last[0] if head_layers == 1 else torch.cat([*last], -1)
        return states.view(*hidden.shape[:-1], states.shape[-1])

    def freeze(self) -> None:
        """Turn off gradients and dropout from here on."""
        self.model.requires_grad_(False)
        self.model.eval()

    def in_bf16(self) -> Encoder:
        """A frozen copy whose layers hold their linear maps in bf16, so that autocast need not cast
        them at every step. Everything except the layers is shared."""
        model = deepcopy(self.model, {id(self.model.embeddings): self.model.embeddings})
        copy = replace(self, model=model)
        copy.freeze()
        for module in copy.layers.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
        return copy

    def fingerprint(self) -> str:
        """SHA-256 of names, shapes and bytes of all weights on which states depend.

        The pooler is left out: onetrunk never runs it.
        """
        weights = self.model.state_dict().items()
        return sha256_of_tensors({n: t for n, t in weights if not n.startswith("pooler.")})


def sha256_of_tensors(tensors: Mapping[str, Tensor], prefix: str = "") -> str:
    """SHA-256 of a text, then of names, shapes and bytes of tensors in the order of names."""
    digest = hashlib.sha256(prefix.encode())
    for name, tensor in sorted(tensors.items()):
        array = tensor.detach().to("cpu").contiguous()
        digest.update(f"{name} {tuple(array.shape)} {array.dtype};".encode())
        digest.update(array.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
