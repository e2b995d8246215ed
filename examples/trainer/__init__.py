"""Trains Nacre's example models with numpy alone and writes them as ONNX."""
