"""Weak labels for raw text: labelers, a run that survives being killed, and a quality report."""
