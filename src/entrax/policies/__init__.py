"""How to act: policies, and the controller that puts one between an environment's observations and its actions."""

from entrax import xla as xla
