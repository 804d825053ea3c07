"""One model as it is loaded: verified, proven on its golden rows, ready to answer."""
