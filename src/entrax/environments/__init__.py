"""The stepping side: Gymnasium environments, one or many, in this process or in workers. Nothing here needs JAX.

Importing it registers the names of our own environments with Gymnasium.
"""

from entrax.environments.names import register_names

register_names()
