"""A policy in an environment: what it returns, and what can be said of it from a few seeds."""
