"""A feature plan at work: entity keys, stored values, the matrix of a request."""
