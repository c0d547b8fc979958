"""Stage-1 objectives: how each family pre-finetunes a backbone.

A plug-in's family may have one too: a class in the entry-point group ``onetrunk.objectives``, under
the family's name::

    [project.entry-points."onetrunk.objectives"]
    nli = "onetrunk_nli:InferenceObjective"
"""

from __future__ import annotations

from typing import Any

from onetrunk.config import FamilySettings
from onetrunk.plugins import Plugins
from onetrunk.prefinetuning.objectives.base import Objective
from onetrunk.prefinetuning.objectives.ner import NerObjective
from onetrunk.prefinetuning.objectives.pairs import PairObjective

GROUP = "onetrunk.objectives"


def _objective(name: str, loaded: Any) -> type[Objective]:
    if not (isinstance(loaded, type) and issubclass(loaded, Objective)):
        raise TypeError(f"is no Objective: {loaded!r}")
    return loaded


OBJECTIVES: Plugins[type[Objective]] = Plugins(
    GROUP, "stage-1 objective", {"ner": NerObjective, "tc": PairObjective}, _objective
)
"""The objective of each family that has a stage 1, by the family's name."""


def settings_model(family: str) -> type[FamilySettings]:
    """What a recipe may say of a family. One without an objective of its own has labelled sets."""
    return OBJECTIVES[family].Settings if family in OBJECTIVES else FamilySettings
