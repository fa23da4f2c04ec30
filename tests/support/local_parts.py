"""Stands in for `annologd` where a test is about the supervisor alone.

Each subcommand notes its start in a file of the home. What it does beside its work is
asked for by the variable PARTS, a list of words.
"""

import ctypes
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

PR_SET_PDEATHSIG = 1


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def main() -> None:
    subcommand, wanted = sys.argv[1], os.environ.get("PARTS", "").split()
    if f"{subcommand}-lingers" in wanted:
        # As on a system that tells no child of its parent's death.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)
    with (Path(os.environ["ANNOLOG_HOME"]) / "starts").open("a") as starts:
        starts.write(f"{subcommand}\n")
    if f"{subcommand}-fails" in wanted:
        sys.exit(f"{subcommand} says why")
    if subcommand == "serve":
        address = os.environ["ANNOLOG_HOST"], int(os.environ["ANNOLOG_PORT"])
        HTTPServer(address, Ready).serve_forever()
    if subcommand == "relay":
        time.sleep(600)


if __name__ == "__main__":
    main()
