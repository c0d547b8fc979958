"""Prepared corpora: what stage 1 draws from, tokenised once and read through memory maps."""
