"""Reads transactions from files, with pyarrow alone: no TFX, TensorFlow or Beam until a remote file needs Beam."""
