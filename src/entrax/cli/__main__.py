"""`python -m entrax.cli`, the same as `entrax`."""

from entrax.cli import main

main()
