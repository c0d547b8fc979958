"""Stage-1 losses as small modules and pure functions of tensors. They import torch alone."""
