"""Labelers: a spaCy pipeline, GLiNER, a chat model, name lists, patterns."""
