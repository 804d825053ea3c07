"""From a fitted model to ONNX, and the proof that both predict the same."""
