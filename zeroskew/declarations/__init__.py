"""What a project declares: models, label tables, gates, parameters."""
