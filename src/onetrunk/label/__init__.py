"""Weak labels for raw text, and text pairs from raw documents.

A labeler (``labelers/``) finds entities in texts. :mod:`~onetrunk.label.run` gives it all texts of
a source, saves finished shards in a work folder (:mod:`~onetrunk.label.job`), and writes training
rows with a report (:mod:`~onetrunk.label.output`). :mod:`~onetrunk.label.compare` measures how far
two labelers agree. :mod:`~onetrunk.label.pairs` needs no labeler.
"""
