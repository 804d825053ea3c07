"""Keys and tenants."""
