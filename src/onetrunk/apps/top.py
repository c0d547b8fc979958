"""The last k layers of an encoder (the top) under a stack's adapters, and the layers below."""

from collections.abc import Sequence

from torch import Tensor

from onetrunk.data.batching import TokenIds
from onetrunk.model.encoder import Encoder
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.precision import Chosen, autocast

# Tokens that go through layers together where no gradients are needed.
CHUNK_TOKENS = 2048


class Top:
    """The last ``k`` layers of an encoder, under a stack's adapters. With ``precision`` bf16 the
    encoder multiplies in bf16 (:meth:`Encoder.in_bf16`); input and output of the top are fp32."""

    def __init__(
        self, encoder: Encoder, stack: LoraStack, k: int, precision: Chosen = "fp32"
    ) -> None:
        self.encoder, self.stack, self.start = encoder, stack, encoder.depth - k
        self.precision = precision

    def run(self, hidden: Tensor, lengths: Sequence[int], head_layers: int) -> Tensor:
        """The top: :meth:`Encoder.run_packed`."""
        with autocast(self.precision, self.encoder.device):
            states = self.encoder.run_packed(
                hidden, lengths, self.start, self.encoder.depth, head_layers
            )
        return states.float()

    def below(self, ids: Sequence[TokenIds]) -> Tensor:
        """The trunk's output for texts side by side: ``(N, D)``."""
        hidden = self.encoder.embed_packed(ids)
        with autocast(self.precision, self.encoder.device):
            return self.encoder.run_packed(hidden, list(map(len, ids)), 0, self.start).float()
