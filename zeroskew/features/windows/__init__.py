"""Windowed views: how they are declared with Feast, and how tables of events are read for them."""
