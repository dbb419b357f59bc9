"""The run directory: configuration, metrics, events and checkpoints. Nothing here learns."""
