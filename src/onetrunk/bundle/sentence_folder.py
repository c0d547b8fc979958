"""A backbone as a standard folder of sentence-transformers: its LoRA merged into the weights."""

from pathlib import Path

import numpy as np

from onetrunk import kinds
from onetrunk.apps.embedding import embed
from onetrunk.bundle.merged import merged_lora
from onetrunk.bundle.parity import hostile_texts
from onetrunk.cards import save_sentence_card
from onetrunk.errors import UserError
from onetrunk.families.classification import Classification
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import quiet
from onetrunk.model.sentence_files import write_plain_files
from onetrunk.model.tokenizer import save_tokenizer
from onetrunk.storage import atomic_folder

LARGEST_DIFFERENCE = 1e-4
"""Numbers of the two vectors of a text may differ by so many of their standard deviations."""


def export_sentence_transformers(
    backbone: Backbone, out: str | Path, overwrite: bool = False
) -> None:
    """Write a folder that ``SentenceTransformer(out)`` opens without onetrunk.

    A text of one window gets the vector of :meth:`onetrunk.interface.Model.embed`. Of a longer one
    sentence-transformers reads the first window alone. Raises :class:`UserError`, and writes
    nothing, if the folder's weights do not give the backbone's vectors.
    """
    encoder = backbone.encoder
    with atomic_folder(Path(out), overwrite, kinds.SENTENCE_FOLDER) as folder:
        with quiet(), merged_lora(encoder, backbone.primary_loras.get(Classification.name)):
            encoder.model.save_pretrained(folder)
        save_tokenizer(encoder.tokenizer, folder)
        write_plain_files(
            folder, backbone.record, backbone.pooling, encoder.width, encoder.max_length
        )
        save_sentence_card(
            folder, Path(out).name, backbone.record, encoder.source, encoder.max_length
        )
        _check(backbone, folder)


def _check(backbone: Backbone, folder: Path) -> None:
    """Raise :class:`UserError` if an encoder does not give the vectors of a backbone."""
    written, texts = Backbone.load(folder), hostile_texts(64)
    written.pooling = backbone.pooling
    expected, found = (embed(one, one.encoder, "fp32", texts) for one in (backbone, written))
    gap = float(np.abs(found - expected).max() / expected.std())
    if not gap <= LARGEST_DIFFERENCE:
        source = backbone.encoder.source
        raise UserError(f"{source}: the vectors of the folder would differ by {gap:.2g}")
