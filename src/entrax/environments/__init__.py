"""The stepping side: Gymnasium environments, one or many, in this process or in workers. Nothing here needs JAX."""
