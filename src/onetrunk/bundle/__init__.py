"""Stage 3 on a device: one backbone and many apps as ONNX, run without PyTorch."""
