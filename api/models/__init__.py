"""The models in service: which there are, which version answers, what is told of them."""
