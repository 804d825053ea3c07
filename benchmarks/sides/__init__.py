"""The sides of the comparison, one file each: how to start it, what to ask it, what is right."""
