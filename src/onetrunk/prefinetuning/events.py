"""The training curves of a stage-1 run as TensorBoard event files."""

import importlib.util
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from onetrunk.config import Recipe
from onetrunk.errors import UserError
from onetrunk.prefinetuning.log import StepRecord
from onetrunk.prefinetuning.optimizer import rate
from onetrunk.prefinetuning.strategies import plan

EVENTS = "tensorboard"


def require_tensorboard() -> None:
    """Raise :class:`UserError` if event files cannot be written here."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise UserError(
            "tensorboard needs onetrunk's extra 'tensorboard': pip install 'onetrunk[tensorboard]'"
        )


class Events:
    """An event file with ``records`` and then a step at a time. An older one is deleted.

    It is written again from the log, so a run that was resumed shows every step once.
    """

    def __init__(self, folder: Path, recipe: Recipe, records: Sequence[StepRecord]) -> None:
        from tensorboardX import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        self._recipe = recipe
        self._writer = SummaryWriter(str(folder))
        for record in records:
            self.write(record)

    def write(self, record: StepRecord) -> None:
        """Add one step."""
        for name, value in _scalars(record, self._recipe):
            self._writer.add_scalar(name, value, record.step)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()


def _scalars(record: StepRecord, recipe: Recipe) -> Iterator[tuple[str, float]]:
    """Names and values of a step. Curves with the same name before the slash form a group."""
    for family, value in record.losses.items():
        yield f"loss/{family}", value
    for family, value in record.weights.items():
        yield f"weight/{family}", value
    yield "gradient_norm/update", record.gradient_norm
    for family, values in record.gradient_norms.items():
        yield from _by_layer(f"gradient_norm_{family}", values)
    for pair, values in record.cosines.items():
        yield from _by_layer(f"cosine_{pair.replace('|', '_')}", values)
    for kind, value in _learning_rates(record.step, recipe).items():
        yield f"learning_rate/{kind}", value
    yield "speed/tokens_per_second", record.tokens / record.seconds
    yield "speed/padding", 1 - record.tokens / max(1, record.padded)


def _by_layer(name: str, values: Sequence[float]) -> Iterator[tuple[str, float]]:
    for i, value in enumerate(values):
        yield f"{name}/{f'layer_{i}' if i else 'embeddings'}", value


def _learning_rates(step: int, recipe: Recipe) -> dict[str, float]:
    settings, sharing = recipe.optimizer, plan(recipe).sharing
    factor = rate(step, recipe.steps, settings)
    rates = {"objective": settings.objective_lr * factor}
    if sharing.backbone:
        rates["backbone"] = settings.backbone_lr * factor
    if sharing.primary_loras:
        rates["lora"] = settings.lora_lr * factor
    return rates
