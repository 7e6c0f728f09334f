"""What forbidding a language's experts does to held-out text, beside others' and controls."""

from neuroglot.figures.judged import Words, finding, perplexity_without
from neuroglot.figures.series import Look
from neuroglot.figures.style import Drawing

EXPERTS = Words(
    "experts",
    "distinctive experts",
    "others that are chosen as often",
    {
        "activity": Look("minus others chosen as often", "#0072B2"),
        "contribution": Look("minus partners of like weight", "#0072B2", marker="s", filled=False),
    },
)

FIGURES = {"perplexity_without_experts": Drawing(perplexity_without, finding, words=EXPERTS)}
