"""Worlds of files: a folder, what is to be done in it, and how it must be afterwards."""

from __future__ import annotations

import random
from dataclasses import dataclass

WORDS = (
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "hazel",
    "inlet",
    "jade",
    "knoll",
    "lotus",
    "maple",
    "north",
    "ocean",
    "pearl",
    "quartz",
    "ridge",
    "slate",
    "tulip",
    "umber",
    "violet",
    "willow",
    "zephyr",
)
FOLDERS = ("notes", "drafts", "old", "lists", "misc")
NUM_FILES = {1: 4, 2: 8, 3: 16}
MAX_HOPS = 12


@dataclass(frozen=True)
class FilesWorld:
    """A generated folder with one thing to do."""

    files: dict[str, str]
    after: dict[str, str]
    """Every file as it must be in the end, apart from white space at its ends."""
    request: str
    path: tuple[str, ...]
    """The files that lead there, in order."""
    kind: str
    """"find", "sum" or "edit"."""


def generate(rng: random.Random, complexity: int, hops: int) -> FilesWorld:
    """A folder in which each of `hops` files names the next.

    Complexity 1 asks for the word in the last file, among few files; 2 for the sum of the numbers in all of them; 3 for
    a change in each of them, and in no other.
    """
    size = max(NUM_FILES[complexity], hops + 2)
    names = [f"{rng.choice(FOLDERS)}/{word}.txt" for word in rng.sample(WORDS, size)]
    path = names[:hops]
    codes = rng.sample(WORDS, size)
    numbers = [rng.randint(1, 9) for _ in range(size)]
    files: dict[str, str] = {}
    for i, name in enumerate(names):
        onward = path[i + 1] if i + 1 < hops else ("none" if i < hops else rng.choice(names[hops:]))
        files[name] = f"word: {codes[i]}\nnumber: {numbers[i]}\nnext: {onward}\n"
    shuffled = list(files.items())
    rng.shuffle(shuffled)
    files = dict(shuffled)
    begin = f"Start with the file {path[0]}; each file names the next, until it says none."
    if complexity == 1:
        request, after = f"{begin} Write the word of the last of them into answer.txt.", {"answer.txt": codes[hops - 1]}
    elif complexity == 2:
        request = f"{begin} Write the sum of their numbers into answer.txt."
        after = {"answer.txt": str(sum(numbers[:hops]))}
    else:
        request = f"{begin} In each of them replace the word after word: by done. Change nothing else."
        after = {name: files[name].replace(f"word: {codes[i]}", "word: done") for i, name in enumerate(path)}
    return FilesWorld(files, {**files, **after}, request, tuple(path), ("find", "sum", "edit")[complexity - 1])
