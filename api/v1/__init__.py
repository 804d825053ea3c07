"""The native endpoints, after the V1 convention of TensorFlow Serving and KServe."""
