"""Scores, figures and the verdict on a model."""
