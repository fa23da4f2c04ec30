"""What is wrong with an uploaded list: all of it at once, each with its line."""

from dataclasses import dataclass, field

from annolog.domain.errors import InvalidError, Problem

MAX_LISTED = 100
"""Faults that one answer lists; their number is said in any case."""


@dataclass(slots=True)
class Faults:
    """Faults found so far.

    Attributes
    ----------
    as_objects
        Whether the list is JSON, whose rows are objects; else lines of text.
    place
        JSON pointer to the list, where it stands inside of something else.
    problems
        The first `MAX_LISTED`.
    count
        All.
    """

    as_objects: bool
    place: str = ""
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    @property
    def unit(self) -> str:
        """What a row is called: `object` or `line`."""
        return "object" if self.as_objects else "line"

    def add(
        self,
        line: int,
        column: str | None,
        value: object,
        reason: str,
        code: str = "invalid_row",
    ) -> None:
        """Note one.

        Parameters
        ----------
        line
            Line of the file, or number of the object, from 1 on.
        column
            Name of the column; None: the row as a whole.
        value
            What stands there.
        reason
            What is wrong and what would be right.
        code
            The same, for programs.
        """
        self.count += 1
        if len(self.problems) >= MAX_LISTED:
            return
        place = f"/{column}" if column is not None else ""
        where = f"{self.unit} {line}"
        if self.place:
            where = f"{where} of {self.place}"
        # Of JSON the place is a JSON pointer.
        pointer = (
            f"{self.place}/{line - 1}{place}" if self.as_objects else f"{where}{place}"
        )
        self.problems.append(Problem(pointer, value, f"{where}: {reason}", code))

    def settle(self) -> None:
        """Raise what was found.

        Raises
        ------
        InvalidError
            If anything was; `problem_count` says how much in all.
        """
        if not self.count:
            return
        first = self.problems[0]
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        raise InvalidError(
            f"{first.reason}{more}",
            code=first.code,
            problems=self.problems,
            extra={"problem_count": self.count},
        )
