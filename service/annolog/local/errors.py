"""Why annolog cannot run on this machine as asked, in one line for its user."""


class LocalError(Exception):
    """What stands in the way, and where.

    Its text is one line that needs no knowledge of annolog's insides; the command
    prints it and exits.
    """

    exit_code = 2
    """What the command ends with: the user can put it right."""


class FailedError(LocalError):
    """A part of annolog was started as it should be, and failed."""

    exit_code = 1


class NoBrokerError(LocalError):
    """No broker can run on this machine, such as for want of Java or Maven.

    Apart from `LocalError`, as annolog then runs without one.
    """
