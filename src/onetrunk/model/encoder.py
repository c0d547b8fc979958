"""A pretrained BERT-family encoder, run layer by layer.

    input_ids ─► embeddings ─► layer 0 … L-k-1 ─► hidden ─► layer L-k … L-1 ─► states
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
ENTERED = TARGETS[:3]
"""Those that read what enters the layer."""


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

    def embed(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """What enters the first layer: ``(B, T)`` int64 -> ``(B, T, D)``."""
        hidden = self.model.embeddings(input_ids=input_ids, position_ids=position_ids)
        if hasattr(self.model, "embeddings_project"):  # ELECTRA with narrow embeddings
            hidden = self.model.embeddings_project(hidden)
        assert isinstance(hidden, Tensor)
        return hidden

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The whole forward under the padding mask, ``(B, T)`` int64 twice -> ``(B, T, D)``."""
        hidden = self.embed(input_ids)
        mask = create_bidirectional_mask(
            config=self.model.config, inputs_embeds=hidden, attention_mask=attention_mask
        )
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return hidden

    def packed(self, texts: Sequence[TokenIds]) -> tuple[Tensor, Tensor]:
        """The whole forward without padding: states ``(B, T, D)`` and mask ``(B, T)`` int64.

        The same as :meth:`states` of padded texts, but for zeros on padding. Texts lie side by side
        on their way; it is fastest if those of equal length are neighbours.
        """
        lengths = list(map(len, texts))
        hidden = self.run_packed(self.embed_packed(texts), lengths, 0, self.depth)
        return packing.unpack(hidden, lengths)

    def embed_packed(self, texts: Sequence[TokenIds]) -> Tensor:
        """:meth:`embed` for texts side by side: ``(N, D)`` of N tokens in all."""
        ids = [np.asarray(text, np.int64) for text in texts]
        places = [self._places(own) for own in ids]
        flat = (torch.from_numpy(np.concatenate(of))[None].to(self.device) for of in (ids, places))
        return self.embed(*flat)[0]

    def _places(self, ids: np.ndarray) -> np.ndarray:
        """Positions of one text's tokens. RoBERTa and its kin give padding none of its own, even
        where a text says "<pad>"."""
        if not self.first_position:
            return np.arange(len(ids))
        pad = self.model.config.pad_token_id
        real = ids != pad
        places: np.ndarray = np.cumsum(real) * real + pad
        return places

    def run_packed(
        self, hidden: Tensor, lengths: Sequence[int], start: int, stop: int, head_layers: int = 1
    ) -> Tensor:
        """Layers ``start`` … ``stop - 1`` of texts of these lengths side by side: of one pack
        ``(N, D)``, or of G, ``(G, N, D)``.

        Returns ``(..., N, head_layers D)``: the last ``head_layers`` states side by side, the final
        one last. A state is the input of the first of these layers or the output of one of them.
        """
        if not 1 <= head_layers <= stop - start + 1:
            raise ValueError(f"{head_layers} states of {stop - start} layers")
        kept = deque([hidden.reshape(-1, *hidden.shape[-2:])], maxlen=head_layers)
        groups = packing.groups_of(lengths, hidden.device)
        for layer in self.layers[start:stop]:
            kept.append(layer(kept[-1], None, groups=groups))
        states = kept[0] if head_layers == 1 else torch.cat([*kept], -1)
        return states.view(*hidden.shape[:-1], states.shape[-1])

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


def architecture_of(config: Any, source: str) -> Architecture:
    """The layout of a supported encoder, or a :class:`UserError` that lists what is supported."""
    try:
        return ARCHITECTURES[config.model_type]
    except KeyError:
        hint = nearest(str(config.model_type), ARCHITECTURES)
        raise UserError(
            f"encoder {source!r} is of type {config.model_type!r}, which cannot be split; {hint}"
        ) from None
