"""The data commands: finding, proposing, describing and synthesizing transactions."""
