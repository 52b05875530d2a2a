"""What lies inside an HDF5 file: names are never followed out of it."""

from __future__ import annotations

import h5py

from refntk.errors import InputError

__all__ = ["find", "plain_dataset"]

_MOST_LINKS = 40  # as many as the system follows from one path


def find(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """Open what a name leads to, by links that stay inside the file.

    Parameters
    ----------
    group : h5py.Group
        Where the name begins; a file is one.
    name : str
        Names of groups and of what is wanted, with a slash between them.

    Returns
    -------
    h5py.Group or h5py.Dataset

    Raises
    ------
    KeyError
        Nothing has this name.
    InputError
        A link on the way leads out of the file, or links go round in circles. Nothing outside has
        been opened.
    """
    left, here, followed = name.split("/")[::-1], group, 0
    if name.startswith("/"):
        here = group.file
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if not isinstance(here, h5py.Group):
            raise KeyError(name)
        try:
            link = here.get(part, getlink=True)
        except TypeError:  # of a kind that a user defined, which may lead anywhere
            raise _outside(group, name, "a link of an unknown kind") from None
        if isinstance(link, h5py.ExternalLink):
            raise _outside(group, name, "a link to another file")
        if isinstance(link, h5py.SoftLink):
            followed += 1
            if followed > _MOST_LINKS:
                raise InputError(f"{group.file.filename}::{name}: its links go round in circles")
            left += link.path.split("/")[::-1]
            here = here.file if link.path.startswith("/") else here
        elif link is None:
            raise KeyError(name)
        else:
            here = here[part]
    return here


def plain_dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """Open a dataset whose values lie in this file.

    Parameters
    ----------
    group : h5py.Group
        Where the name begins; a file is one.
    name : str
        As for `find`.

    Returns
    -------
    h5py.Dataset
        Neither virtual nor with storage in another file.

    Raises
    ------
    KeyError
        No dataset has this name.
    InputError
        A link on the way, or the dataset, leads out of the file.
    """
    found = find(group, name)
    if not isinstance(found, h5py.Dataset):
        raise KeyError(name)
    if found.is_virtual:
        raise _outside(group, name, "a virtual dataset, a view of others")
    if found.external:
        raise _outside(group, name, "a dataset whose values lie in another file")
    return found


def _outside(group: h5py.Group, name: str, what: str) -> InputError:
    return InputError(
        f"{group.file.filename}::{name}: is {what}, which is not opened; copy the data into one "
        "dataset of this file"
    )
