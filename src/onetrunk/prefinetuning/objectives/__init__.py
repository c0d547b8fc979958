"""Stage-1 objectives: how each family pre-finetunes a backbone.

A plug-in's family may have one too. It is a subclass of
:class:`~onetrunk.prefinetuning.objectives.base.Objective` in the entry-point group
``onetrunk.objectives``, under the family's name::

    [project.entry-points."onetrunk.objectives"]
    nli = "onetrunk_nli:InferenceObjective"
"""

from typing import Any

from onetrunk.config import FamilySettings
from onetrunk.errors import UserError
from onetrunk.plugins import Plugins
from onetrunk.prefinetuning.objectives.base import Objective
from onetrunk.prefinetuning.objectives.ner import NerObjective
from onetrunk.prefinetuning.objectives.pairs import PairObjective

GROUP = "onetrunk.objectives"


def _checked(name: str, loaded: Any) -> type[Objective]:
    if not (isinstance(loaded, type) and issubclass(loaded, Objective)):
        raise TypeError(f"is no Objective: {loaded!r}")
    return loaded


OBJECTIVES: Plugins[type[Objective]] = Plugins(
    GROUP, "stage-1 objective", {"ner": NerObjective, "tc": PairObjective}, _checked
)
"""The objective of each family that has one, by the family's name."""


def settings_model(family: str) -> type[FamilySettings]:
    """What a recipe may say about a family. Without an objective it has only labelled sets."""
    return OBJECTIVES[family].Settings if family in OBJECTIVES else FamilySettings


def objective_of(family: str) -> type[Objective]:
    """The objective of a family. Raises :class:`UserError` if it has none."""
    if family not in OBJECTIVES:
        raise UserError(
            f"recipe: families.{family}: this family has no {GROUP} entry point, so it can only "
            "train on labelled sets (strategy muppet)"
        )
    return OBJECTIVES[family]
