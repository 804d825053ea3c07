"""What was predicted, from what, on record well enough to be computed again to the bit."""
