"""Finds what is stored about one entity, hands it out, and erases it."""
