"""Models read texts: one job records all that is missing of a language, and nothing else.

What is complete and up to date is an input without a rule: only what is missing is an output, so
that adding an analysis leaves the readers of what was there alone.
"""

for number, job in enumerate(due, 1):
    needed = recordings.reads(job)

    rule:
        name:
            f"record_{number}"
        input:
            card=done(layout.model(job.model)),
            texts=[
                done(layout.text(corpus, "{l}"))
                for corpus in needed.texts
            ]
            + [done(layout.items(task, "{l}")) for task in needed.tasks],
            tokens=[
                done(layout.tokens(job.model, corpus, "{l}"))
                for corpus in needed.tokens
            ],
        output:
            # A group is kept from the moment that it is complete, whatever becomes of the others.
            update(
                [
                    done(layout.recording(job.model, one.text, "{l}", one.group))
                    for one in job.targets
                ]
            ),
        log:
            f"results/logs/record/{job.model}/{{l}}.log",
        benchmark:
            f"results/logs/record/{job.model}/{{l}}.benchmark.tsv"
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
            keys=lambda wildcards, job=job: [
                recordings.key(job.model, one, wildcards.l) for one in job.targets
            ],
        message:
            f"recordings of {job.model} in {{wildcards.l}}: {', '.join(map(str, job.targets))}"
        shell:
            "OMP_NUM_THREADS={threads} {NEUROGLOT} --gpus {resources.gpu} record {params.model}"
            " {wildcards.l} {params.targets} {CONFIGURATION} 2>&1 | tee {log}"
