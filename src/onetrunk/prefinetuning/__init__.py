"""Stage 1: one backbone learns from several task families at once."""
