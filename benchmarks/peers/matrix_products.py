"""Which matrix products a training step consists of, and how long they take by themselves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
ATTENTION = aten._scaled_dot_product_flash_attention_for_cpu.default
ATTENTION_BACKWARD = aten._scaled_dot_product_flash_attention_for_cpu_backward.default


class Product(NamedTuple):
    """``count`` products ``(rows, inner) @ (inner, columns)``; ``transposed``: as stored."""

    count: int
    rows: int
    inner: int
    columns: int
    transposed: tuple[bool, bool]
    dtype: torch.dtype

    @property
    def flops(self) -> int:
        return 2 * self.count * self.rows * self.inner * self.columns


class MatrixProducts(TorchDispatchMode):
    """Inside, counts the matrix products that run, forward and backward.

    Fused attention counts as the products it is made of: two forward, four backward (what it
    computes a second time is not counted).
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[Product] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (aten.mm.default, aten.mm.out, aten.bmm.default):
            self.add(args[0], args[1])
        elif func in (aten.addmm.default, aten.baddbmm.default, aten.addmm_.default):
            self.add(args[1], args[2])
        elif func is ATTENTION:
            query, key, value = args[:3]
            scores = query.new_empty(*query.shape[:3], key.shape[2])
            self.add(query, key.mT)
            self.add(scores, value)
        elif func is ATTENTION_BACKWARD:
            gradient, query, key, value = args[:4]
            scores = query.new_empty(*query.shape[:3], key.shape[2])
            self.add(scores.mT, gradient)  # of the values
            self.add(gradient, value.mT)  # of the scores
            self.add(scores, key)  # of the queries
            self.add(scores.mT, query)  # of the keys
        return func(*args, **(kwargs or {}))

    def add(self, a: Tensor, b: Tensor) -> None:
        transposed = (a.stride(-1) != 1, b.stride(-1) != 1)
        count = a.shape[:-2].numel()
        self.seen[Product(count, *a.shape[-2:], b.shape[-1], transposed, a.dtype)] += 1

    @property
    def flops(self) -> int:
        return sum(product.flops * times for product, times in self.seen.items())

    def seconds(self) -> float:
        """Time of all that was seen, had each product run at the speed it has alone."""
        return sum(alone(product) * times for product, times in self.seen.items())


def alone(product: Product, budget: float = 0.006, rounds: int = 3) -> float:
    """Seconds that one product takes when nothing else runs: the fastest of some rounds."""
    a = matrix(product, product.rows, product.inner, product.transposed[0])
    b = matrix(product, product.inner, product.columns, product.transposed[1])
    multiply: Callable[..., Tensor] = torch.bmm if product.count > 1 else torch.mm
    if product.count == 1:
        a, b = a[0], b[0]
    out = multiply(a, b)
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        times = 0
        while time.perf_counter() - start < budget / rounds or not times:
            multiply(a, b, out=out)
            times += 1
        best = min(best, (time.perf_counter() - start) / times)
    return best


def matrix(product: Product, rows: int, columns: int, transposed: bool) -> Tensor:
    shape = (columns, rows) if transposed else (rows, columns)
    made = torch.randn(product.count, *shape).to(product.dtype)
    return made.mT if transposed else made
