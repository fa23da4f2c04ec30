"""Misspelt members of a request's body: which one may have been meant."""

import typing
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from annolog.domain.vocabulary import nearest


def meant(model: type[BaseModel], place: Sequence[str | int]) -> tuple[str, ...]:
    """Find the members that one which a model does not have may have meant.

    Parameters
    ----------
    model
        What the body should be.
    place
        Where the unknown member stood, as pydantic names places: its own name last.

    Returns
    -------
    tuple of str
        The likeliest first; empty where none is near.
    """
    *way, name = place
    models = [model]
    for step in way:
        # A place names the branch of a union too; such a step leads nowhere.
        following = [
            one
            for each in models
            if isinstance(step, str)
            for one in _models_in(_member(each, step))
        ]
        models = following or models
    known = {
        one.alias or field
        for each in models
        for field, one in each.model_fields.items()
    }
    return nearest(str(name), known)


def _member(model: type[BaseModel], name: str) -> object:
    for field, one in model.model_fields.items():
        if name in {field, one.alias}:
            return one.annotation
    return None


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Give the models that an annotation names: itself, or in a list or a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in typing.get_args(annotation):
        yield from _models_in(one)
