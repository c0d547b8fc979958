"""Rows of text: what they are, where they come from, how they become batches. No models here."""
