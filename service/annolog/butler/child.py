"""The child that asks one butler: `python -m annolog.butler.child URI [PARENT]`.

It reads questions from standard input and writes answers to standard output, one line
of JSON each (`annolog.butler.wire`), until the input ends. It dies with its parent,
also while the butler does not answer. Only here the butler's library is imported.
"""

import contextlib
import ctypes
import os
import signal
import sys
from typing import BinaryIO

import msgspec

from annolog.butler.wire import Answer, Ask, Opened

_PDEATHSIG = 1


def main() -> None:
    """Serve one butler until the input ends."""
    uri = sys.argv[1]
    if len(sys.argv) > 2:  # noqa: PLR2004 - the second argument
        _die_with(int(sys.argv[2]))
    with _apart() as output:
        _serve(uri, sys.stdin.buffer, output)


def _serve(uri: str, questions: BinaryIO, output: BinaryIO) -> None:
    encode = msgspec.json.Encoder().encode

    def say(value: Answer | Opened) -> None:
        output.write(encode(value) + b"\n")
        output.flush()

    try:
        # Behind `_apart`, for whatever the libraries print while they are imported.
        from annolog.butler.reading import Registry  # noqa: PLC0415 - see above

        registry = Registry.open(uri)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        say(Opened(error=_words(error)))
        return
    say(Opened(registry.universe))
    decoder = msgspec.json.Decoder(Ask)
    for line in questions:
        ask = decoder.decode(line)
        try:
            for chunk in registry.answer(ask.question):
                say(Answer(ask.number, msgspec.Raw(encode(chunk)), more=True))
            say(Answer(ask.number))
        except Exception as error:  # noqa: BLE001 - as above
            say(Answer(ask.number, error=_words(error)))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _apart() -> BinaryIO:
    """Keep standard output for answers: what others print goes to standard error."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb")


def _die_with(parent: int) -> None:
    """Be killed when the parent ends, whatever this process does then."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # it ended before it could be asked for


if __name__ == "__main__":
    main()
