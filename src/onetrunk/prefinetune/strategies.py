"""How families share the backbone in stage 1."""

from __future__ import annotations

from dataclasses import dataclass

from onetrunk.config import Recipe
from onetrunk.errors import UserError, nearest
from onetrunk.families import FAMILIES


@dataclass(frozen=True)
class Plan:
    """What a strategy trains: the families whose losses are summed, and whether each of them gets
    a task-primary LoRA of its own."""

    families: tuple[str, ...]
    primary: bool


def plan(recipe: Recipe) -> Plan:
    """Resolve a recipe's strategy.

    - ``none``: nothing is trained; the encoder is the backbone.
    - ``ner``, ``tc``: one family alone (individual pre-finetuning).
    - ``joint``: the weighted sum of all families' losses on the bare backbone.
    - ``tpl``: the same sum, and each family's loss passes through its own LoRA, which no other
      loss reaches (Zhu et al. 2025).

    Raises :class:`UserError` if the recipe lacks a family that the strategy needs.
    """
    known = tuple(recipe.families)
    for name in known:
        if name not in FAMILIES:
            raise UserError(f"recipe: unknown family {name!r}; {nearest(name, FAMILIES)}")
    if recipe.strategy == "none":
        return Plan((), primary=False)
    if recipe.strategy in ("ner", "tc"):
        if recipe.strategy not in known:
            raise UserError(
                f"recipe: strategy {recipe.strategy!r} needs families.{recipe.strategy}"
            )
        return Plan((recipe.strategy,), primary=False)
    if len(known) < 2:
        raise UserError(
            f"recipe: strategy {recipe.strategy!r} needs two families, got {len(known)}"
        )
    return Plan(known, primary=recipe.strategy == "tpl")
