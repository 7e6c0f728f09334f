"""What the lexicon figures have in common: the looks of signs, and the text's size."""

from xarray import Dataset

from neuroglot.figures.series import Look, Series
from neuroglot.figures.texts import counted

LOOKS = {
    "positive": Look("highest weights", "#4477AA"),
    "negative": Look("lowest weights", "#EE6677"),
}
SIGNS = Series("sign", LOOKS)


def text_of(ds: Dataset) -> str:
    """Name the text by ``attrs["corpora"]``, with the size of ``tokens(language)``."""
    tokens = counted(ds["tokens"].values, "tokens")
    return f"{', '.join(ds.attrs['corpora'])}: {tokens} in each of {ds.sizes['language']} languages"
