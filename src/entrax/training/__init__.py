"""The loop that turns an agent and an environment into a run."""
