"""Stage 2: a small app on the frozen backbone, in seconds."""
