"""Compiled loops: threads and memory here, registers in csrc. Everything was checked before it gets this far."""
