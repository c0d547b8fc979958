"""What an export wrote, and how far it is from PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path

from onetrunk.bundle.contents import Precision
from onetrunk.errors import UserError

PARITY = 1e-3
"""The largest difference that an fp32 export may show (:attr:`Exported.difference`)."""


@dataclass
class Exported:
    """What was written. It prints as a small table."""

    folder: Path
    sizes: dict[str, int]
    """Bytes by file."""
    difference: float
    """Largest difference of a logit from PyTorch's, in standard deviations of the app's logits."""
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By checked app, the family's metric in percent: in PyTorch and in what was written."""
    metrics: dict[str, str] = field(default_factory=dict)
    """By checked app, the name of that metric."""
    pieces: tuple[int, int] | None = None
    """With a smaller vocabulary: its word pieces, and those of the backbone."""

    def check_parity(self, precision: Precision) -> None:
        """Raise :class:`UserError` if fp32 logits are not PyTorch's (:data:`PARITY`)."""
        if precision == "fp32" and self.difference > PARITY:
            raise UserError(
                f"the exported graphs do not compute what PyTorch does: logits differ by up to "
                f"{self.difference:.1e} standard deviations; nothing was written"
            )

    def __str__(self) -> str:
        lines = [f"{size / 1e6:9.3f} MB  {path}" for path, size in self.sizes.items()]
        lines.append(
            f"{sum(self.sizes.values()) / 1e6:9.3f} MB  {self.folder}, logits within "
            f"{self.difference:.1e} standard deviations of PyTorch's"
        )
        lines += [
            f"{name}: {self.metrics[name]} {before:.2f} in PyTorch, {after:.2f} here"
            for name, (before, after) in self.scores.items()
        ]
        if self.pieces is not None:
            lines.append("{:,} of {:,} word pieces".format(*self.pieces))
        return "\n".join(lines)
