"""Everything that runs offline: data sets, models, export, publish."""
