"""Composition root: configuration, graph, runner, command line."""
