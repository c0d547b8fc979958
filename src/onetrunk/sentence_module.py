"""A backbone as the module of a ``SentenceTransformer``: its vectors are those of ``embed``.

The ``modules.json`` of a backbone's folder names this class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.base.modules import InputModule
from sentence_transformers.util import load_dir_path

from onetrunk.apps.embedding import embed
from onetrunk.errors import UserError
from onetrunk.interface import listed
from onetrunk.model.backbone import Backbone


class BackboneModule(InputModule):
    """Texts to pooled states under the task-primary LoRA of the classification family.

    It reads a text of any length (:meth:`onetrunk.interface.Model.embed`) and is not trained: to
    train on, write the folder that ``onetrunk export --sentence-transformers`` writes.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.encoder = backbone.encoder.model  # a part of the module, so that `to` moves it
        self.tokenizer = backbone.encoder.tokenizer

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> BackboneModule:
        """Load a backbone's folder, or its repository at the hub.

        Raises :class:`UserError` as :meth:`Backbone.load` does, and for another backend and
        arguments for transformers, which would change nothing.
        """
        if (backend := kwargs.get("backend", "torch")) != "torch":
            raise UserError(f"{model_name_or_path} runs on backend 'torch', not {backend!r}")
        for name in ("model_kwargs", "processor_kwargs", "config_kwargs"):
            if kwargs.get(name):
                raise UserError(
                    f"{model_name_or_path} is a backbone of onetrunk, which takes no {name}"
                )
        folder = load_dir_path(
            model_name_or_path, subfolder, token, cache_folder, revision, local_files_only
        )
        return cls(Backbone.load(Path(str(folder))))

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The texts, after ``prompt``. Raises :class:`UserError` for what is no text."""
        return {"texts": [(prompt or "") + text for text in listed(inputs)]}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """``sentence_embedding``: ``(N, D)`` float32 of N texts."""
        vectors = embed(self.backbone, self.backbone.encoder, "fp32", features["texts"])
        features["sentence_embedding"] = torch.from_numpy(vectors).to(self.backbone.encoder.device)
        return features

    def get_embedding_dimension(self) -> int:
        """D, the size of a vector."""
        return self.backbone.encoder.width

    @property
    def max_seq_length(self) -> None:
        """No text is cut."""
        return

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        raise UserError("a backbone of onetrunk reads texts whole: max_seq_length cannot be set")

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the backbone's folder."""
        self.backbone.write(Path(output_path))
