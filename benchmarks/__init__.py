"""Benchmarks of convkit against other libraries and against the machine's own peak; see README.md beside this file."""
