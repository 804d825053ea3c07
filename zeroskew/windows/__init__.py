"""Windows over raw events: what one means, computed the same to the bit by whoever asks."""
