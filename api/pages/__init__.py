"""What a person opens in a browser: the first page, the documentation, the OpenAPI document."""
