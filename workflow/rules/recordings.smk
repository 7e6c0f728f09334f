"""Tokens and recordings: one job makes what is missing of a model's texts in one language.

Only missing stores and groups are outputs of a rule. Others are inputs that no rule makes, so that
adding an analysis does not rerun the steps that read them.
"""


def texts_of(job):
    """The corpora and tasks that a job reads."""
    return list(dict.fromkeys(target.source for target in job.targets))


def passes_of(job):
    """How often a job reads a text, at most: states of last tokens take a pass of their own."""
    recorded = [target for target in job.targets if target.group != TOKENS]
    return len({target.group == "states" for target in recorded})


for number, job in enumerate(due.recordings, 1):
    runs_model = passes_of(job) > 0

    rule:
        name:
            f"record_{number}"
        input:
            card=done(layout.model(job.model)),
            texts=[
                done(readings.place(settings, text, "{l}")) for text in texts_of(job)
            ],
        output:
            [done(target.place(job.model, "{l}")) for target in job.targets],
        log:
            f"results/logs/record/{job.model}/{{l}}.log",
        benchmark:
            f"results/logs/record/{job.model}/{{l}}.benchmark.tsv"
        wildcard_constraints:
            l="|".join(job.languages),
        localrule: not runs_model
        # Loading a model keeps one core busy for seconds. So on a CPU several jobs with one thread
        # are faster than one job with many. For few languages or large models use --set-threads.
        threads: 1
        resources:
            mem_mb=needs.model_memory,
            runtime=needs.model_time(passes=passes_of(job)),
            gpu=needs.gpus if runs_model else 0,
            gres=needs.gres if runs_model else "",
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
