"""One rule for each planned reduction, and one for each family of figures drawn from them."""

for (paper, name), reduction in REDUCTIONS.items():
    subject = "{m}" if "{m}" in reduction.place else "all models"

    rule:
        name:
            f"{paper}_{name}"
        input:
            reduction.inputs,
        output:
            f"{reduction.place}.zarr/complete.json",
            [
                report(
                    f"{reduction.folder}/{table}.csv",
                    caption=f"../report/{paper}/table.rst",
                    category=paper,
                    subcategory=subject,
                    labels={"table": table.replace("_", " ")},
                )
                for table in reduction.tables
            ],
            [f"{reduction.folder}/{file}" for file in reduction.files],
        log:
            f"{reduction.place.replace('results', 'results/logs', 1)}.log",
        # The longest first, or one of them runs alone at the end.
        priority: 2 if reduction.runs_model else 1
        localrule: "{m}" not in reduction.place  # it compares what others have reduced
        threads: 1
        resources:
            mem_mb=needs.model_memory if reduction.runs_model else needs.memory(8000),
            runtime=(
                needs.model_time(reduction.runtime, reduction.passes)
                if reduction.runs_model
                else needs.time(reduction.runtime)
            ),
            gpu=needs.gpus if reduction.runs_model else 0,
            gres=needs.gres if reduction.runs_model else "",
            # Not a param: how much is done at a time changes no number and reruns nothing.
            execution=dumped(settings.execution),
        params:
            paper=paper,
            name=name,
            inputs=read_paths,
            output=lambda wildcards, output: str(Path(output[0]).parent),
            settings=lambda wildcards, reduction=reduction: as_json(
                reduction.settings(wildcards)
            ),
            code=fingerprint(
                "neuroglot.steps.reduce", f"neuroglot.steps.{paper}.{name}"
            ),
        message:
            reduction.message
        shell:
            "OMP_NUM_THREADS={threads} neuroglot --gpus {resources.gpu} reduce"
            " {params.paper} {params.name}"
            " {params.inputs:q} --settings {params.settings:q}"
            " --execution {resources.execution:q} --output {params.output} 2>&1 | tee {log}"


for (paper, family), (stems, needed) in FAMILIES.items():
    place = family_place(paper, family)

    rule:
        name:
            f"{paper}_figures_{family}"
        input:
            [f"{REDUCTIONS[paper, name].place}.zarr/complete.json" for name in needed],
        output:
            [
                (
                    report(
                        path,
                        caption=f"../report/{paper}/{Path(path).stem}.rst",
                        category=paper,
                        subcategory="{m}" if "{m}" in place else "all models",
                        labels={"figure": Path(path).stem.replace("_", " ")},
                    )
                    if path.endswith(".png")
                    else path
                )
                for path in figure_files(paper, family)
            ],
        log:
            f"{place.replace('results', 'results/logs', 1)}/figures_{family}.log",
        localrule: True
        params:
            paper=paper,
            family=family,
            inputs=read_paths,
            folder=lambda wildcards, output: str(Path(output[0]).parent),
            code=fingerprint(
                "neuroglot.steps.draw", f"neuroglot.figures.{paper}.{family}"
            ),
        message:
            f"{paper}: figures of {family}"
        shell:
            "neuroglot draw {params.paper} {params.family} {params.inputs:q}"
            " --output {params.folder} 2>&1 | tee {log}"
