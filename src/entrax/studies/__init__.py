"""Experiments that test claims about soft optimality and return numbers."""
