"""The page of supported models says what is true of the table and of the models themselves."""

import pytest

from neuroglot.models.architectures import ARCHITECTURES
from neuroglot.models.describe import REFUSED, architecture
from neuroglot.models.ffn import ffns
from neuroglot.models.reference import EXAMPLES, markdown, place
from support import ROOT
from support.tiny_mixtures import MIXTURES, mixture_of
from support.tiny_models import NAMES, tiny_model


def test_the_page_is_that_of_the_table():
    assert (ROOT / "docs" / "models.md").read_text("utf-8") == markdown(), "run make docs"


def test_every_entry_has_models_that_people_use():
    assert set(EXAMPLES) == set(ARCHITECTURES)
    assert all(EXAMPLES.values())


def test_every_entry_and_refusal_has_a_row():
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [*sorted(ARCHITECTURES), *REFUSED]


@pytest.mark.parametrize("name", NAMES)
def test_neurons_are_where_the_page_says(name: str):
    model = tiny_model(name)
    entry = architecture(model.config)
    stacks = {stack.name: stack for stack in entry.stacks}
    for ffn in ffns(model):
        path = place(stacks[ffn.stack], entry).format(l=ffn.layer)
        inner = model.base_model
        for part in path.split("."):
            inner = inner[int(part)] if part.lstrip("-").isdigit() else getattr(inner, part)
        assert inner is ffn.w_out


@pytest.mark.parametrize("name", MIXTURES)
def test_experts_are_where_the_page_says(name: str):
    model = mixture_of(name)
    entry = architecture(model.config)
    for ffn in ffns(model):
        if ffn.experts:
            path = place(entry.stacks[0], entry).format(l=ffn.layer)
            found = model.base_model.get_parameter(path)
            assert found is ffn.experts.module.down_proj
