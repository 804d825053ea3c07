"""From a label table to the rows that a model learns from."""
