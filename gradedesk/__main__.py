"""`python -m gradedesk` is the command `gradedesk`."""

from gradedesk.cli import main

main()
