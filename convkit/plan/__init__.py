"""Shapes, algorithms, tiles and scratch: integers in, integers out."""
