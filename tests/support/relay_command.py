"""`annologd relay`, with smaller pieces where a test asks for that."""

import logging
import os

from annolog.cli.relay import relay
from annolog.storage import orders as stored
from annolog.stream import orders

if __name__ == "__main__":
    if piece := int(os.environ.get("TEST_PIECE", "0")):
        # So small that an order takes long enough to be interrupted.
        orders.CHANGES_PIECE = stored.STATES_WINDOW = stored.SCANNED_WINDOW = piece
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    relay()
