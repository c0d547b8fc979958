"""Reading an encoder or a teacher with transformers; what would change its states is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from onetrunk.model.architecture import architecture_of
from onetrunk.model.checks import (
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    check_config,
    check_files,
    check_positions,
    check_readable,
    check_special_tokens,
    check_tokenizer,
    check_weights,
    explained,
)
from onetrunk.model.encoder import Encoder
from onetrunk.model.packing import ATTENTION
from onetrunk.model.place import RECORD, locate_model
from onetrunk.model.tokenizer import with_symbols_apart


def load_encoder(name: str) -> Encoder:
    """Load an encoder in fp32 from a local folder, a hub name or ``package:NAME``.

    Its tokenizer cuts words at symbols that it does not know
    (:func:`~onetrunk.model.tokenizer.with_symbols_apart`). A backbone's stays as it was saved.

    Raises :class:`UserError` if its architecture is not supported, if it is configured to compute
    what onetrunk does not, and as :func:`load_pretrained`.
    """

    def check(config: Any) -> None:
        architecture_of(config, name)
        check_config(config, f"encoder {name!r}")

    model, tokenizer = load_pretrained(name, "encoder", AutoModel, check)
    check_special_tokens(tokenizer, f"encoder {name!r}")
    if not (Path(name) / RECORD).exists():
        tokenizer = with_symbols_apart(tokenizer)
    check_positions(model, f"encoder {name!r}")
    model.set_attn_implementation(ATTENTION)
    return Encoder(model, tokenizer, name)


def load_pretrained(
    name: str, role: str, loader: Any, check: Callable[[Any], object]
) -> tuple[Any, Any]:
    """A transformers model in fp32, in evaluation mode, and its fast tokenizer.

    ``loader`` is one of transformers' Auto classes. ``role`` is what messages call the model.
    ``check`` sees the configuration before weights are read. Only safetensors weights are read.
    Raises :class:`UserError` if the source does not exist, if a file is damaged, and for what
    :mod:`onetrunk.model.checks` refuses (nothing is initialised at random or left out).
    """
    location, source = locate_model(name, role), f"{role} {name!r}"
    if Path(location).is_dir():
        check_readable(Path(location))
    with explained(source, f"{CONFIG} cannot be read"):
        config = AutoConfig.from_pretrained(location)
        check(config)
    if Path(location).is_dir():
        check_files(Path(location), source)
    with explained(source, f"no model can be made from {CONFIG}"), quiet():
        model, info = loader.from_pretrained(
            location,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # refused below, in our words
            output_loading_info=True,
        )
    with explained(source, f"{TOKENIZER} or {TOKENIZER_CONFIG} cannot be read"):
        tokenizer = AutoTokenizer.from_pretrained(location)
    check_weights(model, info, source)
    check_tokenizer(model, tokenizer, source)
    if any(key.startswith("pooler.") for key in info["missing_keys"]):
        model.pooler = None
    return model.eval(), tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no load report of transformers inside the block.

    Weights of our size load at once, and what the report would name is refused in our own words.
    """
    bars = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
