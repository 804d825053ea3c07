"""Moves a rollout forward, back or aside by what its arms show."""
