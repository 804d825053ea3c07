"""What a request to a model looks like, and what its answer does."""
