"""One small text encoder, many text tasks.

The pipeline, stage by stage: :mod:`onetrunk.prefinetune` teaches one backbone two task
families at once, :mod:`onetrunk.adapt` trains a small app on the frozen backbone,
:mod:`onetrunk.engine` runs many apps over one text in one pass, :mod:`onetrunk.bundle` does so on a
device.
"""

__version__ = "0.1.0"
