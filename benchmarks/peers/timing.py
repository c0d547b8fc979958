"""One measured training: seconds and tokens of each step, peak memory, matrix products."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers.matrix_products import MatrixProducts


@dataclass
class Timing:
    """Times and tokens of a training's steps. The first ``warmup`` steps do not count."""

    warmup: int
    ends: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    padded: list[int] = field(default_factory=list)
    _now: tuple[int, int] = (0, 0)

    def see(self, inputs: dict[str, Any]) -> None:
        """Count what a peer's trainer is about to send through the encoder."""
        for name, mask in inputs.items():
            if name.endswith("attention_mask"):
                self._now = (self._now[0] + int(mask.sum()), self._now[1] + mask.numel())

    def end(self, tokens: int | None = None, padded: int | None = None) -> None:
        """A step is over."""
        self.ends.append(time.perf_counter())
        self.cpu.append(time.process_time())
        self.tokens.append(self._now[0] if tokens is None else tokens)
        self.padded.append(self._now[1] if padded is None else padded)
        self._now = (0, 0)

    def summary(self, products: MatrixProducts | None = None) -> dict[str, Any]:
        """Numbers of the steps after the warm-up."""
        seconds = self.ends[-1] - self.ends[self.warmup - 1]
        steps = len(self.ends) - self.warmup
        tokens, padded = sum(self.tokens[self.warmup :]), sum(self.padded[self.warmup :])
        result = {
            "seconds_a_step": seconds / steps,
            # Of all threads: less disturbed by other work on the machine.
            "cpu_seconds_a_step": (self.cpu[-1] - self.cpu[self.warmup - 1]) / steps,
            "tokens_a_step": tokens / steps,
            "tokens_a_second": tokens / seconds,
            "padding": 1 - tokens / padded,
            "peak_mib": peak_mib(),
        }
        if products is not None:
            alone = products.seconds() / steps
            result |= {
                "gflop_a_step": products.flops / steps / 1e9,
                "matrix_products_seconds_a_step": alone,
                "share_of_matrix_product_rate": alone / result["seconds_a_step"],
            }
        return result


def peak_mib() -> float:
    """The largest memory this process held so far (``VmHWM``: not that of its parent)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
