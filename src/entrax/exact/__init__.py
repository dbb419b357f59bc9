"""Exact answers to finite problems."""
