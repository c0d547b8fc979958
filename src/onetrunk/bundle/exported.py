"""What an export wrote, and how far it is from PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path

from onetrunk.bundle.contents import Precision
from onetrunk.errors import UserError

PARITY = 1e-3
"""The largest difference that an fp32 export may show (:attr:`Exported.difference`)."""

USUAL = {"int8": (8, "0.2 to 0.9"), "int8-text": (8, "0.2 to 0.9"), "int4": (4, "0.3 to 1.1")}
"""By precision, its bits, and the largest differences that ten apps of all-MiniLM-L6-v2 had (of
24 to 500 rows), and those in ``results/bundle-parity.json``."""


@dataclass
class Exported:
    """What was written. It prints as a small table."""

    folder: Path
    sizes: dict[str, int]
    """Bytes by file."""
    difference: float
    """Largest difference of a logit from PyTorch's, in standard deviations of the app's logits."""
    precision: Precision
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By checked app, the family's metric in percent: in PyTorch and in what was written."""
    metrics: dict[str, str] = field(default_factory=dict)
    """By checked app, the name of that metric."""
    pieces: tuple[int, int] | None = None
    """With a smaller vocabulary: its word pieces, and those of the backbone."""

    def check_parity(self) -> None:
        """Raise :class:`UserError` if fp32 logits are not PyTorch's (:data:`PARITY`)."""
        if self.precision == "fp32" and self.difference > PARITY:
            raise UserError(
                f"the exported graphs do not compute what PyTorch does: logits differ by up to "
                f"{self.difference:.1e} standard deviations; nothing was written"
            )

    def __str__(self) -> str:
        return self.said('check={"APP": FILE}')

    def said(self, check: str) -> str:
        """It as text; ``check`` is how one asks for a comparison of scores."""
        lines = [f"{size / 1e6:9.3f} MB  {path}" for path, size in self.sizes.items()]
        lines.append(f"{sum(self.sizes.values()) / 1e6:9.3f} MB  {self.folder}")
        if self.difference:  # else there is no app to compare
            lines.append(self._compared(check))
        lines += [
            f"{name}: {self.metrics[name]} {before:.2f} in PyTorch, {after:.2f} here"
            for name, (before, after) in self.scores.items()
        ]
        if self.pieces is not None:
            lines.append("{:,} of {:,} word pieces".format(*self.pieces))
        return "\n".join(lines)

    __repr__ = __str__  # what a notebook shows

    def _compared(self, check: str) -> str:
        """How far from PyTorch it is, for those who have not seen such a number before."""
        pytorch = "PyTorch" if self.pieces is None else "PyTorch with the same word pieces"
        if self.precision == "fp32":
            said = f"answers are those of {pytorch}: on hard texts made for this, logits differ by "
            said += "rounding alone"
        else:
            bits, usual = USUAL[self.precision]
            said = (
                f"largest difference from {pytorch} on hard texts made for this: "
                f"{self.difference:.1f} standard deviations of a logit ({bits} bits usually give "
                f"{usual})"
            )
        is_exact = self.precision == "fp32" and self.pieces is None
        if is_exact or self.scores:
            return said
        return f"{said}; {check} shows what a bundle loses in points"
