"""LightGBM: fitted in a process of its own, read from its text, exported tree by tree."""
