"""`python -m tools.records`."""

from tools.records.command import main

main()
