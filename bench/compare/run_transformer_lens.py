"""Dumps act and out of every token with transformer_lens's ``run_with_cache``."""

from pathlib import Path
from typing import Any

import measure


def load(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu", dtype=torch.float32)
    return bridge, bridge.original_model


def dump(bridge: Any, sequences: measure.Sequences, batch_tokens: int, folder: Path) -> None:
    import torch

    def wanted(name: str) -> bool:
        return name.endswith(("mlp.hook_post", "mlp.hook_out"))

    for number, group in enumerate(measure.batches(sequences, batch_tokens)):
        inputs = measure.model_inputs(sequences, group)
        with torch.inference_mode():
            _, cache = bridge.run_with_cache(
                inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                names_filter=wanted,
                return_type=None,
                logits_to_keep=1,  # passed on to the model, which would compute all logits
            )
        halves = {name: value.half() for name, value in cache.items()}
        torch.save(halves, folder / f"{number:05d}.pt")


def read(bridge: Any, inputs: dict[str, Any]) -> None:
    import torch

    with torch.inference_mode():
        bridge(
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            return_type=None,
            logits_to_keep=1,
        )


if __name__ == "__main__":
    measure.run("transformer_lens", ("transformer-lens", "torch", "transformers"), load, dump, read)
