"""The operator's command as a module, for whom its script may not be on the path."""

from annolog.cli.main import main

main()
