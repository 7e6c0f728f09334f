"""The steps on whole tiny models, with an encoder and without, against passes of one item each."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from neuroglot.analyses.base import LanguageFacts, Work
from neuroglot.analyses.sharing.settings import (
    AnswersInputs,
    AnswersSettings,
    ContributionsInputs,
    ContributionsSettings,
    EffectiveInputs,
    EffectiveSettings,
    KindsInputs,
    KindsSettings,
)
from neuroglot.analyses.sharing.steps import answers, contributions, effective, kinds
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, PromptsGroup
from neuroglot.models.card import read_tokenizer
from neuroglot.models.ffn import ffns
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.tasks.base import Item, TaskReading, write_items
from support import tiny_checkpoints

torch.set_num_threads(1)

ASKED = {
    "en": [
        ("The dignity of beings is", " reason", " rights"),
        ("Human beings have", " reason", " rights"),
        ("All are born in", " rights", " reason"),
    ],
    "de": [
        ("Die Würde der Menschen ist", " gleich", " frei"),
        ("Menschen haben", " gleich", " frei"),
        ("Alle sind geboren", " frei", " gleich"),
    ],
    "es": [
        ("La dignidad de los seres es", " libres", " iguales"),
        ("Los seres humanos nacen", " libres", " iguales"),
        ("Todos nacen", " iguales", " libres"),
    ],
}
FACTS = ["one", "one", "other"]  # the first two items word one question
LANGUAGES = [*ASKED]
SEEDS, OFFSET = 1, 0.25
SETTINGS: dict[str, Any] = {
    "languages": LANGUAGES,
    "language_table": dict.fromkeys(
        LANGUAGES, LanguageFacts(name="a", family="b", genus="c", script="Latn")
    ),
    "model": "one",
    "task": "facts",
    "tasks": ["facts"],
    "scoring": "string",
    "threshold": 0.0,
    "thresholds": [0.0],
    "language_counts": [2],
    "language_subsets": 2,
    "top_fraction": 0.1,
    "positions": "last",
    "converted_to": "median_active",
    "converted_offset": OFFSET,
    "random_seeds": SEEDS,
    "replicates": 20,
    "device": "cpu",
    "dtype": "float32",
}


class Place:
    """A tiny model, its recorded prompts, and what passes of one prompt each say of them."""

    def __init__(self, folder: Path, model_type: str) -> None:
        self.folder, self.model = folder, folder / "models" / "one"
        source = tiny_checkpoints.write_checkpoint(folder / model_type, model_type)
        normalise(ModelSettings(source=str(source)), self.model)
        settings = CaptureSettings(device="cpu", dtype="float32", store_dtype="float32")
        for language, asked in ASKED.items():
            items = [
                Item(f"q{i}", prompt, (gold,), (gold, other), FACTS[i])
                for i, (prompt, gold, other) in enumerate(asked)
            ]
            write_items(TaskReading(tuple(items)), self.items[language])
            store = self.prompts[language].parent
            wanted = Wanted(self.items[language], "items", store, {PromptsGroup(): "key"})
            record(self.model, [wanted], settings, ExecutionSettings())

    @property
    def items(self) -> dict[str, Path]:
        return {one: self.folder / "tasks" / "facts" / f"{one}.parquet" for one in LANGUAGES}

    @property
    def prompts(self) -> dict[str, Path]:
        return {one: self.folder / "facts" / f"{one}.zarr" / "prompts" for one in LANGUAGES}

    def reduce(self, step: str, **changes: Any) -> xr.Dataset:
        given = {
            "model": self.model,
            "prompts": {"facts": self.prompts},
            "items": {"facts": self.items},
            "work": Work(pieces=self.folder / "pieces" / str(sorted(changes.items()))),
        }
        told, inputs, module = {
            "kinds": (KindsSettings, KindsInputs, kinds),
            "contributions": (ContributionsSettings, ContributionsInputs, contributions),
            "effective": (EffectiveSettings, EffectiveInputs, effective),
            "answers": (AnswersSettings, AnswersInputs, answers),
        }[step]
        if step == "answers":
            given |= {"prompts": self.prompts, "items": self.items}
        if step == "kinds":
            given.pop("model")
        values = {key: (SETTINGS | changes)[key] for key in told.model_fields if key in SETTINGS}
        data: xr.Dataset = module.compute(inputs(**given), told(**values))  # type: ignore[attr-defined]
        return data

    @cached_property
    def whole(self) -> Any:
        return load(self.model, "cpu", "float32")

    @cached_property
    def tokenizer(self) -> Any:
        return read_tokenizer(self.model)

    @property
    def has_encoder(self) -> bool:
        return bool(self.whole.config.is_encoder_decoder)

    def ids(self, language: str, item: int, which: int) -> list[int]:
        """Token ids of an item's prompt (0), gold answer (1) or other candidate (2)."""
        text = ASKED[language][item][which]
        if which == 0:
            return list(self.tokenizer.encode(text).ids)
        if self.has_encoder:
            return list(self.tokenizer.encode(text.strip(), add_special_tokens=False).ids)
        prompt = ASKED[language][item][0]
        both = self.tokenizer.encode(prompt + text).ids
        return list(both[len(self.tokenizer.encode(prompt).ids) :])

    def logits(self, prompt: list[int], answer: list[int]) -> Tensor:
        """Log-probabilities of the answer's tokens and of all others, [time, token]."""
        with torch.no_grad():
            if self.has_encoder:
                start = self.whole.config.decoder_start_token_id
                decoder = torch.tensor([[start, *answer[:-1]]])
                read = self.whole(input_ids=torch.tensor([prompt]), decoder_input_ids=decoder)
                return read.logits[0].double().log_softmax(-1)
            read = self.whole(input_ids=torch.tensor([prompt + answer[:-1]]))
            return read.logits[0, len(prompt) - 1 :].double().log_softmax(-1)

    def during(self, prompt: list[int], answer: list[int], see: Callable[..., None]) -> np.ndarray:
        """A whole pass. ``see`` gets every layer's act and gate, and may write into them."""
        handles = []
        for ffn in ffns(self.whole):
            if ffn.stack == "encoder":  # whose tokenizer puts </s> after the text
                rows = slice(len(prompt) - 2, len(prompt) - 1)
            else:
                rows = slice(0 if self.has_encoder else len(prompt) - 1, None)

            def before(_m: Any, args: Any, ffn: Any = ffn, rows: Any = rows) -> Any:
                act = args[0].clone()
                see("act", ffn, act[0, rows])
                return (act, *args[1:])

            def after(_m: Any, _a: Any, out: Any, ffn: Any = ffn, rows: Any = rows) -> Any:
                gate = out.clone()
                see("gate", ffn, gate[0, rows])
                return gate

            handles.append(ffn.w_out.register_forward_pre_hook(before))
            if ffn.gated:
                handles.append(ffn.activation.register_forward_hook(after))
        try:
            return self.logits(prompt, answer).numpy()
        finally:
            for handle in handles:
                handle.remove()

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """``act`` and what fires, [language, item, layer, neuron]."""
        layers = ffns(self.whole)
        shape = len(LANGUAGES), 3, len(layers), layers[0].neurons
        found = {"act": np.zeros(shape), "gate": np.zeros(shape)}
        for place, language in enumerate(LANGUAGES):
            for item in range(3):

                def see(site: str, ffn: Any, rows: Tensor, at: Any = (place, item)) -> None:
                    found[site][at[0], at[1], ffn.index] = rows[0].double().numpy()

                self.during(self.ids(language, item, 0), self.ids(language, item, 1), see)
        return found

    @property
    def active(self) -> np.ndarray:
        site = "gate" if ffns(self.whole)[0].gated else "act"
        return self.rows[site] > 0


@pytest.fixture(scope="module", params=["mt5", "m2m_100", "gemma3_text", "gpt2"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp(request.param), request.param)


def of_facts(by_item: np.ndarray) -> np.ndarray:
    """Mean over facts of [item, ...]: the first two items are one."""
    return (by_item[:2].mean(0) + by_item[2]) / 2


def masks(active: np.ndarray) -> dict[str, np.ndarray]:
    """Kinds of neurons, [item, layer, neuron]."""
    speakers = active.sum(0)
    return {
        "all_shared": speakers == 3,
        "partial_shared": speakers == 2,
        "specific": speakers == 1,
        "non_activated": speakers == 0,
    }


def test_kinds_of_every_stack(place: Place):
    data = place.reduce("kinds").sel(task="facts")
    stacks = [ffn.stack for ffn in ffns(place.whole)]
    assert data["stack"].values.tolist() == stacks
    assert len(set(stacks)) == 1 + place.has_encoder
    for kind, mask in masks(place.active).items():
        expected = of_facts(mask.mean(-1))
        np.testing.assert_allclose(data["kind_share"].sel(kind=kind), expected, atol=1e-12)
    for row, language in enumerate(LANGUAGES):
        expected = of_facts(place.active[row].mean(-1))
        np.testing.assert_allclose(data["active_share"].sel(language=language), expected)
    assert (data["items"], data["facts"]) == (3, 2)


def test_contributions_of_every_stack(place: Place):
    data = place.reduce("contributions").sel(task="facts")
    for ffn in ffns(place.whole):
        values = ffn.output_matrix().double().numpy()
        if ffn.norm_after is not None:
            values = values * (1 + ffn.norm_after.weight.detach().double().numpy())[:, None]
        weight = np.abs(place.rows["act"][:, :, ffn.index]) * np.linalg.norm(values, axis=0)
        share = weight / weight.sum(-1, keepdims=True)
        for kind, mask in masks(place.active).items():
            for row, language in enumerate(LANGUAGES):
                own = data["sum"].sel(language=language, kind=kind, layer=ffn.index)
                expected = of_facts((share[row] * mask[:, ffn.index]).sum(-1))
                np.testing.assert_allclose(own, expected, rtol=1e-3, atol=1e-7)


def test_effective_scores_are_the_decoders(place: Place):
    data = place.reduce("effective").sel(task="facts")
    unembedding = place.whole.get_output_embeddings().weight.detach().double().numpy()
    highest: dict[tuple[str, str], list[float]] = {}
    for ffn in ffns(place.whole):
        here = data["max_by_layer"].sel(layer=ffn.index)
        if ffn.stack == "encoder":
            assert here.isnull().all()
            continue
        values = ffn.output_matrix().double().numpy()
        for row, language in enumerate(LANGUAGES):
            scores = np.empty((3, ffn.neurons))
            for item in range(3):
                act = place.rows["act"][row, item, ffn.index]
                added = values * act
                if ffn.norm_after is not None:
                    bias = ffn.output_bias()
                    out = added.sum(1) + (0 if bias is None else bias.double().numpy())
                    with torch.no_grad():
                        normed = ffn.norm_after(torch.from_numpy(out)[None].float())[0]
                    added = added * (normed.double().numpy() / out)[:, None]
                gold = unembedding[place.ids(language, item, 1)[0]]
                scores[item] = gold @ added
            for kind, mask in masks(place.active).items():
                own = scores[mask[:, ffn.index]]
                expected = own.max() if own.size else np.nan
                found = here.sel(language=language, kind=kind)
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)
                highest.setdefault((language, kind), []).append(expected)
    for (language, kind), of_layers in highest.items():
        if np.isfinite(of_layers).any():
            found = data["max"].sel(language=language, kind=kind)
            np.testing.assert_allclose(found, np.nanmax(of_layers), rtol=1e-3)


@pytest.mark.parametrize("converted_to", ["just_above", "median_active"])
def test_answers_with_edited_neurons_of_every_stack(place: Place, converted_to: str):
    data = place.reduce("answers", converted_to=converted_to)
    gated = ffns(place.whole)[0].gated
    fired = place.rows["gate" if gated else "act"]
    assert data.attrs["site"] == ("gate" if gated else "act")
    kind = masks(place.active)
    chosen: dict[str, Any] = {
        "baseline": lambda row, item: np.zeros_like(place.active[0, 0]),
        "without_all_shared": lambda row, item: kind["all_shared"][item],
        "without_specific": lambda row, item: kind["specific"][item] & place.active[row, item],
        "converted_both": lambda row, item: (
            (kind["specific"][item] | kind["partial_shared"][item]) & ~place.active[row, item]
        ),
    }
    for variant, of in chosen.items():
        for row, language in enumerate(LANGUAGES):
            found = np.empty(3)
            for item in range(3):
                neurons, convert = of(row, item), variant == "converted_both"
                site = "gate" if convert and gated else "act"

                def see(
                    of_site: str,
                    ffn: Any,
                    rows: Tensor,
                    neurons: Any = neurons,
                    convert: bool = convert,
                    site: str = site,
                    at: Any = (row, item),
                ) -> None:
                    if of_site != site:
                        return
                    value = 0.0
                    if convert:
                        own = fired[at[0], at[1], ffn.index]
                        median = np.median(own[own > 0])
                        value = median if converted_to == "median_active" else OFFSET
                    rows[:, torch.from_numpy(neurons[ffn.index])] = float(value)

                gold = place.ids(language, item, 1)
                read = place.during(place.ids(language, item, 0), gold, see)
                found[item] = sum(read[t, token] for t, token in enumerate(gold))
            shown = data["log_probability"].sel(variant=variant, language=language)
            np.testing.assert_allclose(shown, of_facts(found), rtol=1e-4, err_msg=variant)
    differences = data["log_probability_difference"].sel(variant=["without_all_shared"])
    assert (abs(differences) > 1e-4).all()
