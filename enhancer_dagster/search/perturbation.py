"""Text that says the same with some words missing: stands in for a second person's report of one problem."""

import numpy as np

DROPPED = 0.3
"""Share of words that are left out."""


def perturbed(text: str, rng: np.random.Generator) -> str:
    """`text` without three words in ten, chosen by `rng`."""
    words = text.split()
    return " ".join(word for word, kept in zip(words, rng.random(len(words)) >= DROPPED, strict=True) if kept)
