"""The Open Inference Protocol (V2): tensors, requests, answers, and each model's part."""
