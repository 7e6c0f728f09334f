"""Dumps act and out of every token with nnsight's tracing."""

from pathlib import Path
from typing import Any

import measure


def load(folder: Path) -> tuple[Any, Any]:
    import torch
    from nnsight import TransformersModel

    model = TransformersModel(
        str(folder), task="text-generation", dispatch=True, device="cpu", dtype=torch.float32
    )
    return model, model._module


def dump(model: Any, sequences: measure.Sequences, batch_tokens: int, folder: Path) -> None:
    import nnsight
    import torch

    for number, group in enumerate(measure.batches(sequences, batch_tokens)):
        inputs = measure.model_inputs(sequences, group)
        with torch.inference_mode(), model.trace(inputs) as tracer:
            act, out = nnsight.save([]), nnsight.save([])
            for layer in model.model.layers:
                act.append(layer.mlp.down_proj.input.half())
                out.append(layer.mlp.output.half())
            tracer.stop()  # before the logits
        torch.save({"act": act, "out": out}, folder / f"{number:05d}.pt")


def read(model: Any, inputs: dict[str, Any]) -> None:
    import nnsight
    import torch

    with torch.inference_mode(), model.trace(inputs) as tracer:
        nnsight.save(model.model.layers[-1].mlp.output)  # else the trace would end at once
        tracer.stop()


if __name__ == "__main__":
    measure.run("nnsight", ("nnsight", "torch", "transformers"), load, dump, read)
