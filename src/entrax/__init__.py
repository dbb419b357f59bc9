"""Maximum-entropy reinforcement learning and control as inference in JAX."""

__version__ = "0.1.0"
