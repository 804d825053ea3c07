"""Answers to a model's callers: by its champion or its rollout, logged, and shadowed."""
