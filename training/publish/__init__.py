"""From an exported model to a registered version and its alias."""
