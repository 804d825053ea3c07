"""Writes rows of features into the online store, in the layout that Feast reads."""
