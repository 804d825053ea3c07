"""What is kept in the database and beside it: models, keys, predictions, labels, pushes."""
