"""Peak memory of recording a text that is repeated 5, 15 and 50 times, each in a new process.

Run after `make`: python bench/memory.py. Linux only: ru_maxrss is in kilobytes.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TIMES = (5, 15, 50)  # five repetitions fill a block


def repeat(tokens, times: int):
    """Repeat a parallel text as new segments, and let every token end a recorded prefix."""
    from neuroglot.tokens import Tokens

    segments = len(tokens.segment_ids)
    return Tokens(
        **{name: np.tile(getattr(tokens, name), times) for name in ("token_id", "position", "end")},
        ends_prefix=np.ones(len(tokens.token_id) * times, bool),
        segment=np.concatenate([tokens.segment + i * segments for i in range(times)]),
        segment_ids=[f"{name}-{i}" for i in range(times) for name in tokens.segment_ids],
        before=tokens.before,
        after=tokens.after,
        places=np.arange(segments * times),
        drawn=segments * times,
    )


def peak(times: int) -> float:
    """Load the model, record the text, and give this process's peak resident megabytes."""
    from comparing import MODEL, text
    from neuroglot.capture.blocks import Recording
    from neuroglot.capture.collectors import role_collectors
    from neuroglot.capture.engine import Engine
    from neuroglot.models.load import load

    engine = Engine(load(MODEL, "cpu"))
    tokens = repeat(text(), times)
    recordings = {
        "rows": Recording(("act", "out"), "prefixes"),
        "sums": Recording((), "prefixes", tuple(role_collectors("nonzero", 0.0))),
    }
    folder = Path(tempfile.mkdtemp())
    engine.run_together(tokens, recordings, folder)
    shutil.rmtree(folder)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(f"{sys.argv[1]:>3} times the text: {peak(int(sys.argv[1])):.0f} MB at most")
    else:
        for times in TIMES:
            subprocess.run([sys.executable, __file__, str(times)], check=True)
