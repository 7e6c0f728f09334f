"""From text to stores: tokens of every language, and what the neurons did reading them."""


def prefix(wildcards):
    """Scripts written without spaces have no word boundaries to stop at."""
    chosen = settings.corpora[wildcards.c].prefix
    if chosen == "auto":
        return "word" if settings.language(wildcards.l).spaced else "subword"
    return chosen


rule tokens:
    input:
        card=model_card,
        text=TEXT,
    output:
        TOKENS,
    log:
        "results/logs/tokens/{m}/{c}/{l}.log",
    localrule: True
    params:
        prefix=prefix,
        long_segments=lambda wildcards: settings.corpora[wildcards.c].long_segments,
        code=fingerprint("neuroglot.steps.tokens"),
    message:
        "tokens of {wildcards.c} {wildcards.l} for {wildcards.m}"
    shell:
        "neuroglot tokens --model results/models/{wildcards.m} --corpus {input.text:q}"
        " --prefix {params.prefix} --long-segments {params.long_segments}"
        " --output results/tokens/{wildcards.m}/{wildcards.c}/{wildcards.l}.zarr 2>&1 | tee {log}"


for corpus in settings.corpora:
    groups = {
        group.name: group.model_dump(mode="json") for group in settings.recording(corpus)
    }
    if not groups:
        continue

    rule:
        name:
            f"activations_{corpus}"
        input:
            card=model_card,
            tokens=TOKENS,
        output:
            # A group that is there and not wanted any more stays as it is.
            [ACTIVATIONS.replace("{group}", name) for name in groups],
        log:
            "results/logs/activations/{m}/{c}/{l}.log",
        benchmark:
            "results/logs/activations/{m}/{c}/{l}.benchmark.tsv"
        wildcard_constraints:
            c=corpus,
        # Loading a model keeps one core busy for seconds: on a CPU several languages at once, on a
        # thread each, are faster than one on many. For few languages or large models: --set-threads.
        threads: 1
        resources:
            mem_mb=needs.model_memory,
            runtime=needs.model_time(),
            gpu=needs.gpus,
            gres=needs.gres,
            # Not a param: batch and shard sizes change no number, so changing them reruns nothing.
            execution=dumped(settings.execution),
        params:
            settings=dumped(settings.capture),
            plan=as_json(groups),
            code=fingerprint("neuroglot.capture.record"),
        message:
            "activations of {wildcards.m} reading {wildcards.c} {wildcards.l}"
        shell:
            "OMP_NUM_THREADS={threads} neuroglot --gpus {resources.gpu} capture"
            " --model results/models/{wildcards.m}"
            " --tokens results/tokens/{wildcards.m}/{wildcards.c}/{wildcards.l}.zarr"
            " --settings {params.settings:q} --plan {params.plan:q}"
            " --execution {resources.execution:q}"
            " --output results/activations/{wildcards.m}/{wildcards.c}/{wildcards.l}.zarr"
            " 2>&1 | tee {log}"


rule states:
    input:
        card=model_card,
        text=TEXT,
    output:
        STATES,
    log:
        "results/logs/states/{m}/{c}/{l}.log",
    threads: 1
    resources:
        mem_mb=needs.model_memory,
        runtime=needs.model_time(),
        gpu=needs.gpus,
        gres=needs.gres,
        execution=dumped(settings.execution),
    params:
        settings=as_json(running()),
        long_segments=lambda wildcards: settings.corpora[wildcards.c].long_segments,
        code=fingerprint("neuroglot.capture.record"),
    message:
        "hidden states of {wildcards.m} at the end of the segments of {wildcards.c} {wildcards.l}"
    shell:
        "OMP_NUM_THREADS={threads} neuroglot --gpus {resources.gpu} states"
        " --model results/models/{wildcards.m}"
        " --corpus {input.text:q} --long-segments {params.long_segments}"
        " --settings {params.settings:q} --execution {resources.execution:q}"
        " --output results/states/{wildcards.m}/{wildcards.c}/{wildcards.l}.zarr"
        " 2>&1 | tee {log}"
