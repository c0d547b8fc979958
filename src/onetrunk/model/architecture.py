"""Names of the parts of encoders, by kind of encoder. Nothing here imports PyTorch."""

from dataclasses import dataclass
from typing import Any

from onetrunk.errors import UserError, nearest


@dataclass(frozen=True)
class Architecture:
    """Names in one kind of encoder: of the list of layers, of a layer's linear maps, and of its
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

ROBERTA = ("roberta", "xlm-roberta", "camembert")
"""Types whose first position is pad_token_id + 1; the row of the padding token is never learned."""
_OTHERS = {
    "albert": "all its layers share one set of weights",
    "deberta": "it has relative positions",
    "deberta-v2": "it has relative positions",
    "longformer": "it has local attention",
    "modernbert": "it has rotary positions and local attention, and one linear map for query, key "
    "and value",
    "mpnet": "it has relative positions",
    "nomic_bert": "it has rotary positions, and one linear map for query, key and value",
}
"""Encoders that are often asked for, and why they are not supported."""

TARGETS = tuple(_BERT.targets)
"""The linear maps of a layer that can carry LoRA, by onetrunk's names for them."""
INPUT_TARGETS = TARGETS[:3]
"""The maps among them whose input is the input of the layer."""


def architecture_of(config: Any, source: str) -> Architecture:
    """The architecture of an encoder. A :class:`UserError` lists the supported ones."""
    try:
        return ARCHITECTURES[config.model_type]
    except KeyError:
        reason = _OTHERS.get(config.model_type)
        why = f": {reason}" if reason else ""
        hint = nearest(str(config.model_type), ARCHITECTURES)
        raise UserError(
            f"encoder {source!r} is of type {config.model_type!r}, which cannot be split{why}; "
            f"{hint}"
        ) from None
