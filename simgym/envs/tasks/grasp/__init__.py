"""Grasp: take an object and lift it."""
