"""Models read texts: one job records all that is missing of a text, in one pass.

What is complete and up to date is an input without a rule: only what is missing is an output, so
that adding an analysis leaves the readers of what was there alone.
"""

SOURCES = {
    "corpus": lambda m, text: layout.tokens(m, text, "{l}"),
    "states": lambda m, text: layout.text(text, "{l}"),
    "task": lambda m, text: layout.items(text, "{l}"),
}


def sources_of(job):
    """What is read to record the targets of a job."""
    found = [SOURCES[needed.kind(one)](job.model, one.text) for one in job.targets]
    return list(dict.fromkeys(map(done, found)))


def name_of(job):
    """Where the logs of a job go: by the one text that it reads, or as those of all tasks."""
    texts = {one.text for one in job.targets}
    states = any(one.group == "states" for one in job.targets)
    own = texts.pop() if texts.isdisjoint(settings.tasks) else "tasks"
    return f"{own}-states" if states else own


for number, job in enumerate(due, 1):

    rule:
        name:
            f"record_{number}"
        input:
            card=done(layout.model(job.model)),
            sources=sources_of(job),
        output:
            [
                done(layout.recording(job.model, one.text, "{l}", one.group))
                for one in job.targets
            ],
        log:
            f"results/logs/record/{job.model}/{name_of(job)}/{{l}}.log",
        benchmark:
            f"results/logs/record/{job.model}/{name_of(job)}/{{l}}.benchmark.tsv"
        wildcard_constraints:
            l="|".join(job.languages),
        # Loading a model keeps one core busy for seconds: on a CPU several languages at once, on a
        # thread each, are faster than one on many. For few languages or large models: --set-threads.
        threads: 1
        resources:
            mem_mb=needs.model_memory,
            runtime=needs.model_time(),
            gpu=needs.gpus,
            gres=needs.gres,
        params:
            model=job.model,
            targets=[str(one) for one in job.targets],
            made_from=lambda wildcards, job=job: [
                needed.key(job.model, one, wildcards.l) for one in job.targets
            ],
        message:
            f"recordings of {job.model} in {{wildcards.l}}: {', '.join(map(str, job.targets))}"
        shell:
            "OMP_NUM_THREADS={threads} {NEUROGLOT} --gpus {resources.gpu} record {params.model}"
            " {wildcards.l} {params.targets} {CONFIGURATION} 2>&1 | tee {log}"
