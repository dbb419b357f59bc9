"""The stepping side: Gymnasium environments, one or many, in this process or in workers. Nothing here needs JAX.

Importing it registers the names of our own environments with Gymnasium: `import entrax.environments` comes before
`gymnasium.make("entrax/MultiGoal-v0")` in a script of your own.
"""

from entrax.environments.names import register_names

register_names()
