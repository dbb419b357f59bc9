"""`python -m entrax`, the same as `entrax`."""

from entrax.cli import main

main()
