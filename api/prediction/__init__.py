"""From a request to a score: plan, online features, model."""
