"""Recordings: one job records the missing groups of a corpus, or of all tasks, in one pass.

Only missing groups are outputs of a rule. Other groups are inputs that no rule makes, so that
adding an analysis does not rerun the steps that read them.
"""

FILES = {
    "tokens": lambda m, source: layout.tokens(m, source, "{l}"),
    "text": lambda m, source: layout.corpus(source, "{l}"),
    "items": lambda m, source: layout.items(source, "{l}"),
}


def sources_of(job):
    """The files that a job reads to record its targets."""
    read = [
        FILES[needed.reads(target)](job.model, target.source) for target in job.targets
    ]
    return list(dict.fromkeys(map(done, read)))


def name_of(job):
    """Name of a job's log folder: the corpus that it reads, or ``tasks``."""
    sources = {target.source for target in job.targets}
    states = any(target.group == "states" for target in job.targets)
    name = sources.pop() if sources.isdisjoint(settings.tasks) else "tasks"
    return f"{name}-states" if states else name


for number, job in enumerate(due, 1):

    rule:
        name:
            f"record_{number}"
        input:
            card=done(layout.model(job.model)),
            sources=sources_of(job),
        output:
            [
                done(layout.recording(job.model, target.source, "{l}", target.group))
                for target in job.targets
            ],
        log:
            f"results/logs/record/{job.model}/{name_of(job)}/{{l}}.log",
        benchmark:
            f"results/logs/record/{job.model}/{name_of(job)}/{{l}}.benchmark.tsv"
        wildcard_constraints:
            l="|".join(job.languages),
        # Loading a model keeps one core busy for seconds. So on a CPU several jobs with one thread
        # are faster than one job with many. For few languages or large models use --set-threads.
        threads: 1
        resources:
            mem_mb=needs.model_memory,
            runtime=needs.model_time(),
            gpu=needs.gpus,
            gres=needs.gres,
        params:
            model=job.model,
            targets=list(map(str, job.targets)),
            made_from=lambda wildcards, job=job: [
                needed.key(job.model, target, wildcards.l) for target in job.targets
            ],
        message:
            f"recordings of {job.model} in {{wildcards.l}}: {', '.join(map(str, job.targets))}"
            + ASKS
        shell:
            "OMP_NUM_THREADS={threads} {NEUROGLOT} --gpus {resources.gpu} record {params.model}"
            " {wildcards.l} {params.targets} {CONFIGURATION} 2>&1 | tee {log}"
