"""What the README's numbers come from: `python -m benchmarks` runs all of it, `python -m benchmarks.NAME` one."""
