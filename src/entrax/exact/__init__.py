"""Exact answers to finite problems."""

from entrax import xla as xla
