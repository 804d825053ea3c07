"""The prediction log while the service runs: what is kept, written and told of a prediction."""
