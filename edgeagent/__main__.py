"""`python -m edgeagent` is the same as `edgeagent`."""

from edgeagent.cli import main

main()
