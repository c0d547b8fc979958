"""The encoder split in two, the stacked LoRA on its top, the backbone they form, and heads."""
