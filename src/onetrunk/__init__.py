"""One small text encoder, many text tasks.

Everything that a user needs has its name here::

    backbone = onetrunk.prefinetune("recipe.yaml", out="runs/tpl")
    app = onetrunk.adapt(backbone, "ner", train="train.conll", validation="dev.conll")
    app.save("apps/news")
    model = onetrunk.load("apps/news", "apps/intents")
    model.predict("book a table in Oslo for Friday")

A name is imported when it is first used, so that a device that only runs bundles needs no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onetrunk.adaptation.adapt import adapt
    from onetrunk.apps.app import App
    from onetrunk.apps.engine import Engine
    from onetrunk.apps.evaluation import Evaluation
    from onetrunk.bulk.mapping import Answers
    from onetrunk.bundle.export import export
    from onetrunk.bundle.runtime import Runtime
    from onetrunk.errors import UserError
    from onetrunk.estimator import TextEstimator
    from onetrunk.hub import push_to_hub
    from onetrunk.interface import Model
    from onetrunk.model.backbone import Backbone
    from onetrunk.opening import load
    from onetrunk.prefinetuning.run import prefinetune
    from onetrunk.serving.client import Client

__version__ = "0.1.0"

_MODULES = {
    "Answers": "onetrunk.bulk.mapping",
    "App": "onetrunk.apps.app",
    "Backbone": "onetrunk.model.backbone",
    "Client": "onetrunk.serving.client",
    "Engine": "onetrunk.apps.engine",
    "Evaluation": "onetrunk.apps.evaluation",
    "Model": "onetrunk.interface",
    "Runtime": "onetrunk.bundle.runtime",
    "TextEstimator": "onetrunk.estimator",
    "UserError": "onetrunk.errors",
    "adapt": "onetrunk.adaptation.adapt",
    "export": "onetrunk.bundle.export",
    "load": "onetrunk.opening",
    "prefinetune": "onetrunk.prefinetuning.run",
    "push_to_hub": "onetrunk.hub",
}

__all__ = [
    "Answers", "App", "Backbone", "Client", "Engine", "Evaluation", "Model", "Runtime",
    "TextEstimator", "UserError", "__version__", "adapt", "export", "load", "prefinetune",
    "push_to_hub",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'onetrunk' has no attribute {name!r}")
    try:
        value = getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from onetrunk.errors import extra_of

        raise ModuleNotFoundError(
            f"onetrunk.{name} needs {error.name}: pip install '{extra_of(error.name)}'",
            name=error.name,
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
