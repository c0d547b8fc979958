"""The encoder, split in two; stacked LoRA on its upper part; the backbone they form; and heads."""
