"""What deactivating a language's neurons does to held-out text, beside others' and controls."""

from neuroglot.figures.controls import DIFFERENCES
from neuroglot.figures.judged import Words, finding, perplexity_without
from neuroglot.figures.style import Drawing

NEURONS = Words("neurons", "LAPE neurons", "others that fire as often", DIFFERENCES)

FIGURES = {"perplexity_without": Drawing(perplexity_without, finding, words=NEURONS)}
