"""Stage 1: one backbone learns from every task family at once."""
