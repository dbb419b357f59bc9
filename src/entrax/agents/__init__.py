"""Learners, one file per algorithm."""

from entrax import xla as xla
