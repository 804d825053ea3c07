"""From a parsed request to scores: arms, batches, shadows, wide requests."""
