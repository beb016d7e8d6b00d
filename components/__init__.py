"""TFX components of the project: a pure function and a thin adapter each."""
