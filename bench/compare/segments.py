"""Writes token sequences that the workflow made to one .npz, for runners without neuroglot."""

import argparse
from pathlib import Path

import numpy as np

from neuroglot.tokens import read_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--corpus", default="udhr")
    parser.add_argument("--languages", nargs="+", default=["en", "de", "fr", "es"])
    parser.add_argument("--segments", type=int, help="only the first so many of each language")
    options = parser.parse_args()
    folder = options.results / "tokens" / options.model / options.corpus
    sequences = [
        sequence
        for language in options.languages
        for sequence in read_tokens(folder / f"{language}.zarr").sequences()[: options.segments]
    ]
    np.savez(
        options.output,
        token_id=np.concatenate(sequences),
        length=np.array([len(sequence) for sequence in sequences]),
    )
    print(f"{len(sequences)} segments, {sum(map(len, sequences))} tokens -> {options.output}")


if __name__ == "__main__":
    main()
