"""Strategies: what the families of a stage-1 run share, and what each has to itself."""

from dataclasses import dataclass
from typing import Literal

from onetrunk.config import Recipe
from onetrunk.errors import UserError, nearest
from onetrunk.families import FAMILIES

Surgery = Literal["pcgrad", "cagrad", "imtl-g", "upgrad"]


@dataclass(frozen=True)
class Sharing:
    """How the families of a run share one backbone."""

    primary_loras: bool = False
    """Whether each family has a task-primary LoRA of its own."""
    backbone: bool = True
    """Whether the backbone is trained."""
    surgery: Surgery | None = None
    """How the families' gradients of the backbone are combined; None: added."""
    supervised: bool = False
    """Whether families train on labelled sets, with a head per set, instead of their objectives."""


STRATEGIES = {
    "joint": Sharing(),
    "tpl": Sharing(primary_loras=True),
    "frozen": Sharing(primary_loras=True, backbone=False),
    "pcgrad": Sharing(surgery="pcgrad"),
    "cagrad": Sharing(surgery="cagrad"),
    "imtl-g": Sharing(surgery="imtl-g"),
    "upgrad": Sharing(surgery="upgrad"),
    "tpl+upgrad": Sharing(primary_loras=True, surgery="upgrad"),
    "muppet": Sharing(supervised=True),
}
"""The strategies that train all families of a recipe. ``none`` and the name of any family are
strategies, too."""


@dataclass(frozen=True)
class Plan:
    """What a run trains: some families, and how they share the backbone."""

    families: tuple[str, ...]
    sharing: Sharing


def plan(recipe: Recipe) -> Plan:
    """Resolve a recipe's strategy.

    - ``none``: nothing is trained; the encoder is the backbone.
    - ``ner``, ``tc``, or any family's name: that family alone (individual pre-finetuning).
    - ``joint``: all families train the bare backbone on the weighted sum of their losses.
    - ``tpl``: the same sum, but each family's loss passes through a LoRA of its own, the
      task-primary LoRA, which no other loss reaches (Zhu et al. 2025).
    - ``frozen``: as ``tpl``, but the backbone does not change; only the LoRAs learn.
    - ``pcgrad`` (Yu et al. 2020), ``cagrad`` (Liu et al. 2021), ``imtl-g`` (Liu et al. 2021),
      ``upgrad`` (Quinton and Rey 2024): ``joint`` with gradient surgery. ``tpl+upgrad``: both.
    - ``muppet``: supervised training on labelled sets of every family, with a head per set
      (Aghajanyan et al. 2021).

    Raises :class:`UserError` if the recipe lacks a family that the strategy needs.
    """
    families = tuple(recipe.families)
    for name in families:
        if name not in FAMILIES:
            raise UserError(f"recipe: unknown family {name!r}; {nearest(name, FAMILIES)}")
        if (start := FAMILIES[name].family_of_primary) != name:
            raise UserError(
                f"recipe: families.{name}: this family has no stage 1; its apps start from "
                f"{start}'s, so train families.{start}"
            )
    strategy = recipe.strategy
    if strategy == "none":
        return Plan((), Sharing())
    if strategy in families:
        return Plan((strategy,), Sharing())
    if strategy in FAMILIES:
        raise UserError(f"recipe: strategy {strategy!r} needs families.{strategy}")
    if strategy not in STRATEGIES:
        choices = ["none", *STRATEGIES, *families]
        raise UserError(f"recipe: unknown strategy {strategy!r}; {nearest(strategy, choices)}")
    if len(families) < 2:
        raise UserError(f"recipe: strategy {strategy!r} needs two families, got {len(families)}")
    return Plan(families, STRATEGIES[strategy])
