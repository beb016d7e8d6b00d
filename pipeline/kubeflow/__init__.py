"""Kubeflow Pipelines: the graph as its specification, what runs in its pods, and its API."""
