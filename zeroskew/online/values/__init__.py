"""Feature values and entity keys as bytes."""
