"""The registry over HTTP: versions, aliases, rollouts."""
