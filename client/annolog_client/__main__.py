"""The user's command as a module, for whom its script may not be on the path."""

from annolog_client._cli import main

main(prog_name="annolog")
