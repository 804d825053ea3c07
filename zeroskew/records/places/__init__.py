"""Where each service keeps what it stores, so that an erasure looks there."""
