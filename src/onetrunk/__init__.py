"""One small text encoder, many text tasks.

The pipeline, stage by stage: :mod:`onetrunk.prefinetuning` teaches one backbone two task
families at once, :mod:`onetrunk.adaptation` trains a small app on the frozen backbone,
:mod:`onetrunk.apps` runs many apps over one text in one pass, :mod:`onetrunk.bundle` does so on a
device.
"""

__version__ = "0.1.0"
