"""The families of models that can be fitted, a folder each."""
