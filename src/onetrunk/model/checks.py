"""What is refused of an encoder or a teacher: what could not be run as it was trained."""

import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from safetensors import SafetensorError, safe_open

from onetrunk.errors import UserError, is_panic
from onetrunk.model.architecture import ROBERTA
from onetrunk.storage import MOST_JSON, read_json, regular_size

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
WEIGHTS, PICKLE, TOKENIZER = "model.safetensors", "pytorch_model.bin", "tokenizer.json"

# Keys of config.json that make a model compute something else, and why it is not run.
_NOT_RUN = {
    "is_decoder": "a decoder does not read what stands after a word",
    "add_cross_attention": "there is no second text to attend to",
    "position_embedding_type": "only absolute positions are computed",
    "quantization_config": "only weights in fp32, fp16 or bf16 are read",
}
_MOST, _MOST_LAYERS = 10**7, 1000
"""The largest whole number in config.json, and the largest number of layers, that is accepted:
transformers would build a larger model for a very long time."""
_READ = ("F64", "F32", "F16", "BF16")
# Weights that no state depends on: pooler, heads of other tasks, and counters stored as weights.
_NOT_NEEDED = re.compile(
    r"(\w+\.)?(pooler|cls|classifier|pre_classifier|qa_outputs|lm_head|vocab_\w+|head|decoder|score"
    r"|(discriminator|generator|lm|mask)_predictions|generator_lm_head|predictions|sop_classifier"
    r"|sequence_summary)\..*|.*\b(position_ids|token_type_ids)"
)

# Ends of the names of what transformers opens if it is there.
_OPENED = (".json", ".jinja", ".model", ".safetensors", ".txt")
# Weights that may be all zeros: the pooler, types of tokens (one is often unused), and adapters
# that are not trained yet.
_MAY_BE_ZERO = re.compile(r"pooler|token_type|lora_")


def check_config(config: Any, source: str) -> None:
    """Refuse what :class:`~onetrunk.model.encoder.Encoder` does not compute, though it loads."""
    for key, why in _NOT_RUN.items():
        value = getattr(config, key, None)
        if value and value != "absolute":
            raise UserError(f"{source}: {CONFIG} has {key} {value!r:.80}, which is not run: {why}")
    for key, value in config.to_dict().items():
        most = _MOST_LAYERS if "layers" in key else _MOST
        if isinstance(value, int) and value > most:
            raise UserError(f"{source}: {CONFIG} has {key} above {most:,}: no encoder is so large")
    if config.pad_token_id is None:
        raise UserError(f"{source}: {CONFIG} has no pad_token_id")


def check_weights(model: Any, info: dict[str, Any], source: str) -> None:
    """Refuse weights that contradict the configuration or are no numbers, weights without a place
    and places without a weight; ``info`` is transformers' account of loading."""
    if mismatched := sorted(info["mismatched_keys"], key=str):
        key, stored, configured = mismatched[0]
        raise UserError(
            f"{source} has no usable weight for {key!r}: it is {tuple(stored)} in the file, and "
            f"{tuple(configured)} by {CONFIG}"
        )
    if missing := sorted(key for key in info["missing_keys"] if not key.startswith("pooler.")):
        raise UserError(
            f"{source} has no usable weight for {missing[0]!r}; refusing random weights"
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise carries_adapter(source)
    if extra := sorted(key for key in info["unexpected_keys"] if not _NOT_NEEDED.fullmatch(key)):
        raise UserError(
            f"{source} has weights that would be left out ({len(extra)}, such as {extra[0]!r}): "
            f"the {model.config.model_type} model that {CONFIG} describes has no place for them"
        )
    for key, weight in model.state_dict().items():
        if weight.ndim > 1 and not weight.any() and not _MAY_BE_ZERO.search(key):
            raise UserError(f"{source}: weight {key!r} holds only zeros: it was never written")
        # The sum is fast. It can overflow, so that it alone proves nothing.
        if weight.sum().isfinite() or key.startswith("pooler.") or weight.isfinite().all():
            continue
        raise UserError(f"{source}: weight {key!r} holds NaN or infinity")


def check_positions(model: Any, source: str) -> None:
    """Refuse weights of BERT under the name of RoBERTa, and the other way round. Both load alike,
    but one counts a text's positions from 0, the other from pad_token_id + 1.

    RoBERTa has one type of token, and never learns the position of a padding token: it is zero.
    """
    config = model.config
    learned = getattr(model.embeddings, "position_embeddings", None)
    if learned is None or not config.pad_token_id < len(learned.weight):
        return
    is_zero = not learned.weight[config.pad_token_id].any()
    says_roberta = config.model_type in ROBERTA
    if says_roberta and not is_zero and config.type_vocab_size > 1:
        name = "a BERT"
    elif not says_roberta and is_zero:
        name = "a RoBERTa"
    else:
        return
    raise UserError(
        f"{source}: {CONFIG} has model_type {config.model_type!r}, but the weights are those of "
        f"{name} model, which counts positions in another way: put its own model_type there"
    )


def check_tokenizer(model: Any, tokenizer: Any, source: str) -> None:
    """Refuse a tokenizer that is not fast, that cannot read every text, or whose tokens the model
    does not know."""
    vocabulary = tokenizer.get_vocab()
    # Without its files transformers makes up a tokenizer that knows only the special tokens.
    if not tokenizer.is_fast or set(vocabulary) <= set(tokenizer.all_special_tokens):
        raise UserError(f"{source} has no {TOKENIZER}; a fast tokenizer is needed")
    entries, rows = max(vocabulary.values()) + 1, model.get_input_embeddings().num_embeddings
    if entries > rows:
        raise UserError(
            f"{source}: the tokenizer has {entries} entries, but the embedding only {rows}: a text "
            "with one of the others could not be read; resize the embedding, or use the tokenizer "
            "that the model was trained with"
        )
    if 8 * entries < rows:  # some are filled up with rows that no token has
        raise UserError(
            f"{source}: the tokenizer has {entries} entries, the embedding {rows}: it is not the "
            "one that the model was trained with"
        )
    with explained(source, f"{TOKENIZER} has no token for characters that it does not know"):
        tokenizer("\N{CUNEIFORM SIGN A}")


def check_special_tokens(tokenizer: Any, source: str) -> None:
    """Refuse a tokenizer that cannot pad, or that puts nothing around a text: an encoder was
    trained with a first and a last token."""
    if tokenizer.pad_token_id is None:
        raise UserError(f"{source}: the tokenizer has no pad_token: name it in {TOKENIZER_CONFIG}")
    if not tokenizer.num_special_tokens_to_add():
        raise UserError(
            f"{source}: the tokenizer puts no first and last token ([CLS], [SEP]) around a text; "
            f"{TOKENIZER} needs a post_processor that does"
        )


def carries_adapter(source: str) -> UserError:
    """The error for a PEFT adapter beside the weights."""
    return UserError(
        f"{source} carries a PEFT adapter ({ADAPTER_CONFIG}) beside its own weights: merge the "
        "adapter into the weights, or move its files away"
    )


def check_nothing_added(folder: Path, known: Container[str]) -> None:
    """Refuse a file that transformers would open and whose name is not ``known``."""
    for path in _opened(folder):
        if path.name not in known:
            raise UserError(f"{path} was added after the folder was written: move it away")


def _opened(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.suffix in _OPENED and not p.is_dir()]


def check_readable(folder: Path) -> None:
    """Refuse what transformers would wait for or read without end: links that lead nowhere, files
    that are not regular, and text files that are far too large."""
    for path in _opened(folder):
        if (size := regular_size(path)) > MOST_JSON and path.suffix != ".safetensors":
            raise UserError(f"{path} has {size:,} bytes: it is not a model's")


def check_files(folder: Path, source: str) -> None:
    """Refuse a folder without safetensors weights or without a tokenizer, and say what to do; and
    weights that are whole numbers, which without their scales mean something else."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        why = f"it has no {WEIGHTS}"
        if (folder / PICKLE).exists():
            convert = f"AutoModel.from_pretrained({str(folder)!r}).save_pretrained(NEW_FOLDER)"
            why = f"it has only {PICKLE}; convert it to safetensors: transformers.{convert}"
        raise UserError(f"cannot load {source}: {why}")
    if not any(any(folder.glob(name)) for name in (TOKENIZER, "*vocab*", "*.model")):
        raise UserError(
            f"{source} has no {TOKENIZER}: save the tokenizer that it was trained with in its "
            "folder: transformers.AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER)"
        )
    if (index := folder / f"{WEIGHTS}.index.json").exists():
        listed = read_json(index, "an index of weights").get("weight_map")
        if not (isinstance(listed, dict) and listed):
            raise UserError(
                f"cannot load {source}: {index.name} is damaged: it has no 'weight_map'"
            )
    for file in files:
        with explained(source, f"{file.name} is damaged"), safe_open(file, "pt") as weights:
            for key in weights.keys():  # noqa: SIM118 (not a dict)
                stored = weights.get_slice(key).get_dtype()
                if stored not in _READ and not _NOT_NEEDED.fullmatch(key):
                    raise UserError(
                        f"{source}: weight {key!r} is {stored} in {file.name}; "
                        f"{_NOT_RUN['quantization_config']}"
                    )


@contextmanager
def explained(source: str, fault: str) -> Iterator[None]:
    """Turn what transformers raises for a file that is damaged or contradicts itself, which is of
    any class, into a :class:`UserError`. ``fault`` is what must be wrong then."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        why = shorten(str(error), 240)
        if not isinstance(error, OSError | ValueError | SafetensorError):
            why = f"{type(error).__name__}: {why}"
        if isinstance(error, SafetensorError) and "damaged" not in fault:
            fault = f"{WEIGHTS} is damaged"
        raise UserError(f"cannot load {source}: {fault}: {why}") from error
