"""What the service reads of a model's graph, and how it computes the part of a request faster."""
