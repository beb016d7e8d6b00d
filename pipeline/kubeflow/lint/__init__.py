"""Checks a compiled pipeline against what Kubeflow's own code accepts."""
