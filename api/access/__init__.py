"""Who may do what: keys, the rights that routes ask for, and how much of it a key may do."""
