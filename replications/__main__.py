"""`python -m replications`: see replications.run."""

from replications.run import main

main()
