"""The parts of `bench/gpu.py`: each measures one thing on a model of random weights."""

import copy
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from neuroglot.analyses.transfer.measures.latent import nearest_neighbours
from neuroglot.analyses.transfer.measures.transfer import transfer_score
from neuroglot.capture.answers import judge
from neuroglot.capture.batches import GPU_TOKENS
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import role_collectors
from neuroglot.capture.context import pad
from neuroglot.capture.engine import Engine
from neuroglot.capture.questions import Question
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.capture.states import represent_variants
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import backbone, ffns
from neuroglot.models.intervene import Edit, intervened
from neuroglot.tokens import Tokens

SUMS = Recording((), "prefixes", tuple(role_collectors("positive", 0.0)))
ROWS = Recording(("act", "out"), "every token")
SHARE = 0.3  # of the neurons are edited
READY_SECONDS = 240  # until a process that shares the GPU must have loaded its model

# By whether it is a rehearsal: the model, and what is read.
LLAMA = {
    False: {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
    },
    True: {
        "hidden_size": 64,
        "intermediate_size": 172,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "vocab_size": 1000,
        "max_position_embeddings": 512,
    },
}


class Bench:
    """A Llama with random weights, and texts of random tokens."""

    def __init__(self, small: bool, scratch: Path) -> None:
        """Make the model on the GPU, or on the CPU if there is none."""
        self._small, self._scratch = small, scratch
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self.device.type == "cuda"
        self._batch = 256 if small else GPU_TOKENS
        self._config = transformers.LlamaConfig(
            **LLAMA[small], pad_token_id=0, bos_token_id=1, eos_token_id=2
        )
        self.model: Any = self._made(self._config, torch.bfloat16 if on_gpu else torch.float32)

    def _made(self, config: Any, dtype: torch.dtype) -> Any:
        torch.manual_seed(0)
        with torch.device(self.device):
            model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
        return model.eval().requires_grad_(False)

    def text(self, tokens: int, longest: int, seed: int = 0) -> Tokens:
        """Random tokens in segments of random lengths; every token ends a recorded prefix."""
        generator, lengths = np.random.default_rng(seed), []
        while sum(lengths) < tokens:
            lengths.append(min(int(generator.integers(8, longest)), tokens - sum(lengths)))
        place = np.concatenate([np.arange(length) for length in lengths])
        return Tokens(
            token_id=generator.integers(3, self._config.vocab_size, tokens).astype(np.int32),
            segment=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
            position=(place + 1).astype(np.int32),
            end=(place + 1).astype(np.int32),
            ends_prefix=np.ones(tokens, bool),
            segment_ids=[str(number) for number in range(len(lengths))],
            before=[1],
            after=[],
        )

    def recording(self) -> dict[str, Any]:
        """All collectors against the bare pass, over a text of several batches."""
        text = self.text(*self._sized((65_536, 512), (600, 30)))
        return self._speeds(
            text, {"bare": self._bare(text), "collectors": self._recorded(text, sums=SUMS)}, 3
        )

    def rows(self) -> dict[str, Any]:
        """Raw rows, rows and collectors, and plain hooks, against the bare pass of a text."""
        text = self.text(*self._sized((16_384, 512), (300, 30)))
        found = self._speeds(
            text,
            {
                "bare": self._bare(text),
                "rows": self._recorded(text, rows=ROWS),
                "both": self._recorded(text, sums=SUMS, rows=ROWS),
                "plain_hooks": self._hooked(text),
            },
            2,
        )
        layers = self._config.num_hidden_layers
        row_bytes = 2 * layers * (self._config.hidden_size + self._config.intermediate_size)
        for one in found.values():
            one["gigabytes_per_second"] = one["tokens_per_second"] * row_bytes / 1e9
        return found

    def bus(self) -> dict[str, Any]:
        """How fast pinned memory is filled from the device."""
        size = self._sized(1 << 30, 1 << 20)
        source = torch.zeros(size, dtype=torch.uint8, device=self.device)
        host = torch.empty(size, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        seconds = self._median(lambda: host.copy_(source, non_blocking=True), 5)
        return {"gigabytes_per_second": size / seconds / 1e9}

    def answers(self) -> dict[str, Any]:
        """Answers under edits, and an edited pass against a plain one."""
        questions, prompt, answer, variants = self._sized((64, 64, 3, 10), (4, 12, 3, 2))
        generator = np.random.default_rng(0)
        rows = generator.integers(3, self._config.vocab_size, (questions, prompt + answer))
        asked = [Question(row[:-answer], [row[-answer:]], [row[-answer:]]) for row in rows.tolist()]
        shape = questions, len(ffns(self.model)), self._config.intermediate_size
        neurons = generator.random(shape) < SHARE
        edits = [lambda items: [Edit(neurons[items])]] * variants
        ids = torch.from_numpy(rows).to(self.device)

        def plain() -> None:
            with torch.inference_mode():
                self.model(input_ids=ids, use_cache=False, logits_to_keep=answer + 1)

        def edited() -> None:
            with intervened(self.model, [Edit(neurons)]):
                plain()

        seconds = self._median(lambda: judge(self.model, asked, edits, "whole"), 3)
        whole, bare = self._median(edited, 3), self._median(plain, 3)
        return {
            "answers_per_second": questions * variants / seconds,
            "against_whole_passes": variants * whole / seconds,
            "edited_pass": bare / whole,
        }

    def transfer(self) -> dict[str, Any]:
        """States under edits on the device; scores and neighbours by numpy, as the steps do.

        The products alone are timed on the device too: what moving them there could give.
        """
        segments, variants = self._sized((256, 6), (8, 2))
        text = self.text(segments * 24, 40)
        shape = len(ffns(self.model)), self._config.intermediate_size
        generator = np.random.default_rng(0)
        edits = [[Edit(generator.random(shape) < SHARE)] for _ in range(variants)]
        count = len(text.segment_ids) * variants
        seconds = self._median(
            lambda: represent_variants(self.model, text, edits, positions="last"), 2
        )
        rows, hidden, neurons = segments, self._config.hidden_size, shape[1]
        normal = generator.standard_normal
        mid, act = normal((rows, hidden), np.float32), normal((rows, neurons), np.float32)
        values, states = normal((hidden, neurons), np.float32), normal((4 * rows, hidden))
        there = [torch.from_numpy(each).to(self.device).double() for each in (mid, values, states)]
        return {
            "states_per_second": count / seconds,
            "scores": self._median(lambda: transfer_score(mid, act, values, mid.mean(0)), 2),
            "scores_on_device": self._median(lambda: there[0] @ there[1], 2),
            "neighbours": self._median(lambda: nearest_neighbours(states, [4]), 2),
            "neighbours_on_device": self._median(lambda: (there[2] @ there[2].T).topk(5), 2),
        }

    def halved_batch(self) -> dict[str, Any]:
        """Record where memory holds no whole batch, and compare the counts with those of before.

        In float32, with two of the layers. In half precision a batch is refused, not halved.
        """
        text = self.text(*self._sized((2 * GPU_TOKENS, 256), (400, 30)))
        refused = False
        with self._little_memory(self.model):
            try:
                self._recorded(text, sums=SUMS)()
            except NeuroglotError:
                refused = True
        config = copy.deepcopy(self._config)
        config.num_hidden_layers = 2
        model = self._made(config, torch.float32)
        counts, left = [], 0
        for limit in (nullcontext(), self._little_memory(model)):
            engine = Engine(model, ExecutionSettings(batch_tokens=self._batch))
            with limit:
                sums = engine.run_together(text, {"sums": SUMS}, self._folder())["sums"]
            counts.append(sums["act_count"])
            left = engine._budget.tokens
        whole, halved = counts
        changed = float(np.abs(whole - halved).sum() / whole.sum())
        half = self.model.dtype != torch.float32
        return {
            "wanted": self._batch,
            "tokens": left,
            "changed": changed,
            "refused_in_half_precision": refused,
            "ok": left < self._batch and changed < 1e-3 and refused == half,
        }

    def two_jobs(self, command: Path) -> dict[str, Any]:
        """The tokens/s of two processes that record with all collectors, and those of one."""
        self.model = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        alone = self._processes(command, 1)
        both = self._processes(command, 2)
        return {"alone": alone, "both": both, "together": sum(both) / alone[0]}

    def process(self, barrier: Path) -> None:
        """Record again and again while all processes do, and print the tokens/s."""
        text = self.text(*self._sized((16_384, 512), (300, 30)))
        self._scratch = barrier
        record = self._recorded(text, sums=SUMS)
        record()
        (barrier / f"{os.getpid()}.ready").touch()
        limit = time.monotonic() + READY_SECONDS
        while not (barrier / "go").exists():
            if time.monotonic() > limit:
                sys.exit("the other process is not ready")
            time.sleep(0.05)
        start, runs = time.perf_counter(), 0
        while time.perf_counter() - start < self._sized(10, 1):
            record()
            runs += 1
        print(json.dumps(runs * len(text.token_id) / (time.perf_counter() - start)))

    def _processes(self, command: Path, number: int) -> list[float]:
        barrier = self._folder()
        arguments = ["--out", str(barrier), *(["--small"] if self._small else [])]
        started = [
            subprocess.Popen(
                [sys.executable, str(command), *arguments, "--process", str(barrier)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(number)
        ]
        while len(list(barrier.glob("*.ready"))) < number:
            if any(process.poll() for process in started):
                for process in started:
                    process.kill()
                sys.exit("a process that was to share the GPU failed")
            time.sleep(0.05)
        (barrier / "go").touch()
        return [float(process.communicate()[0].splitlines()[-1]) for process in started]

    # --- one call --------------------------------------------------------------------------------

    def _engine(self) -> Engine:
        return Engine(self.model, ExecutionSettings(batch_tokens=self._batch))

    def _folder(self) -> Path:
        """A new empty folder."""
        folder = self._scratch / f"{time.time_ns()}"
        folder.mkdir()
        return folder

    def _bare(self, text: Tokens) -> Callable[[], None]:
        """Only the forward pass, over the engine's batches."""
        batches = [[part.to(self.device) for part in batch] for batch in self._batches(text)]
        body = backbone(self.model)

        def run() -> None:
            with torch.inference_mode():
                for ids, mask in batches:
                    body(input_ids=ids, attention_mask=mask, use_cache=False)

        return run

    def _batches(self, text: Tokens) -> list[tuple[torch.Tensor, torch.Tensor]]:
        waiting, batches = sorted(text.sequences(), key=len, reverse=True), []
        while waiting:
            size = max(1, self._batch // len(waiting[0]))
            batches.append(pad(waiting[:size]))
            waiting = waiting[size:]
        return batches

    def _recorded(self, text: Tokens, **recordings: Recording) -> Callable[[], None]:
        """One pass with these recordings."""
        engine = self._engine()

        def run() -> None:
            folder = self._folder()
            engine.run_together(text, recordings, folder)
            shutil.rmtree(folder)

        return run

    def _hooked(self, text: Tokens) -> Callable[[], None]:
        """What a user would write: hooks that copy float16 to the host, and a file per batch."""
        batches = [[part.to(self.device) for part in batch] for batch in self._batches(text)]
        body = backbone(self.model)

        def run() -> None:
            folder, kept = self._folder(), {}
            hooks = []
            for number, layer in enumerate(body.layers):

                def keep(_m: Any, inputs: Any, out: torch.Tensor, number: int = number) -> None:
                    kept[f"act-{number}"] = inputs[0].half().cpu()
                    kept[f"out-{number}"] = out.half().cpu()

                hooks.append(layer.mlp.down_proj.register_forward_hook(keep))
            with torch.inference_mode():
                for number, (ids, mask) in enumerate(batches):
                    body(input_ids=ids, attention_mask=mask, use_cache=False)
                    torch.save(dict(kept), folder / f"{number}.pt")
            for hook in hooks:
                hook.remove()
            shutil.rmtree(folder)

        return run

    @contextmanager
    def _little_memory(self, model: Any) -> Iterator[None]:
        """Let memory run out at the default batch; without a GPU, say that it does."""
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            total = torch.cuda.get_device_properties(0).total_memory
            widths = self._config.hidden_size + 2 * self._config.intermediate_size
            size = model.dtype.itemsize
            room = self._batch * widths * size  # bytes of a batch's values in one layer, at most
            limit = torch.cuda.memory_allocated() + room
            torch.cuda.set_per_process_memory_fraction(limit / total)
            try:
                yield
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
            return

        def limited(_module: Any, inputs: Any) -> None:
            if inputs[0].shape[:2].numel() > self._batch // 3:
                raise torch.OutOfMemoryError("out of memory")

        hook = ffns(model)[-1].block.register_forward_pre_hook(limited)
        try:
            yield
        finally:
            hook.remove()

    # --- measuring -------------------------------------------------------------------------------

    def _sized(self, size: Any, small: Any) -> Any:
        return small if self._small else size

    def _seconds(self, call: Callable[[], object]) -> float:
        self._wait()
        start = time.perf_counter()
        call()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _median(self, call: Callable[[], object], rounds: int) -> float:
        call()
        return statistics.median(self._seconds(call) for _ in range(rounds))

    def _speeds(
        self, text: Tokens, calls: Mapping[str, Callable[[], None]], rounds: int
    ) -> dict[str, Any]:
        """Time calls in turn; give tokens/s and peak memory of each, after one to warm up."""
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        peaks: dict[str, dict[str, float]] = {}
        for name, call in calls.items():
            peaks[name] = self._peak(call)
        for _ in range(rounds):
            for name, call in calls.items():
                seconds[name].append(self._seconds(call))
        return {
            name: {
                "tokens_per_second": len(text.token_id) / statistics.median(times),
                "seconds": times,
                **peaks[name],
            }
            for name, times in seconds.items()
        }

    def _peak(self, call: Callable[[], None]) -> dict[str, float]:
        """Peak memory of a call, on the device and of this process."""
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        call()
        [line] = [
            line
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        ]
        return {
            "device_gigabytes": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0,
            "host_gigabytes": int(line.split()[1]) / 1e6,
        }
