"""One rule for each step of an analysis, and one for each set of figures."""

import functools
import json

# Names of attributes, which Snakemake does not allow as names of inputs.
RESERVED = {*dir(list), *dir(dict)}


def scope_of(analysis, step, wildcards):
    """The scope of a step's job: one model or all models, and a part if the step has parts."""
    models = wanted.models(settings, analysis, [step])
    of_model = (wildcards.m,) if hasattr(wildcards, "m") else tuple(models)
    return Scope(of_model, getattr(wildcards, "part", None))


def step_inputs(analysis, step):
    """The files that a step reads, by the step's names for them."""

    def inputs(wildcards):
        section = settings.section(analysis.name)
        read = step.inputs(settings, section, scope_of(analysis, step, wildcards))
        return {
            f"{name}_" if name in RESERVED else name: list(map(done, paths))
            for name, paths in read.named().items()
        }

    return inputs


def step_settings(analysis, step, used):
    """Apply ``used`` to the settings of a step's job."""

    def told(wildcards):
        section = settings.section(analysis.name)
        return used(
            step.settings(settings, section, scope_of(analysis, step, wildcards))
        )

    return told


def dumped(told):
    """Settings as one line of JSON, which changes only if a setting changes."""
    return json.dumps(told.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)


def result_place(analysis, step, **wildcards):
    """The path of a step's dataset, with its wildcards."""
    return layout.reduction(
        analysis.name,
        step.name,
        None if step.compares_models else wildcards.get("m", "{m}"),
        wildcards.get("part", "{part}") if step.parts else None,
    )


def figure_paths(analysis, figure_set, m="{m}"):
    """Paths of a set's figures: SVG for print, and PNG for the report."""
    step = analysis.step(figure_set.steps[0])
    folder = layout.figures(analysis.name, None if step.compares_models else m)
    return [
        f"{folder}/{stem}.{suffix}"
        for stem in wanted.drawn(settings, analysis, figure_set)
        for suffix in ("svg", "png")
    ]


def drawn_from_and_figures():
    """For each set of figures of the run, the files that it is drawn from, and its figures."""
    for analysis in (ANALYSES[name] for name in settings.analyses):
        for figure_set in wanted.figure_sets(settings, analysis):
            steps = [analysis.step(name) for name in figure_set.steps]
            for model in wanted.models(settings, analysis, steps):
                read = [result_place(analysis, step, m=model) for step in steps]
                figures = figure_paths(analysis, figure_set, model)
                yield [*map(layout.done, read)], [*map(Path, figures)]


def results_of(name):
    """A function that gives all figures and tables of an analysis, for its target's input."""

    def results(wildcards):
        if name not in settings.analyses:
            raise WorkflowError(
                f"{name}: the configuration has no section {name!r}; add it "
                "(docs/config.md describes its keys)"
            )
        analysis = ANALYSES[name]
        files = []
        for step in wanted.steps(settings, analysis):
            for model in wanted.models(settings, analysis, [step]):
                folder = result_place(analysis, step, m=model, part="").parent
                tables = [f"{table}.csv" for table in step.tables]
                files += [f"{folder}/{file}" for file in (*tables, *step.files)]
        for figure_set in wanted.figure_sets(settings, analysis):
            steps = [analysis.step(step) for step in figure_set.steps]
            for model in wanted.models(settings, analysis, steps):
                files += figure_paths(analysis, figure_set, model)
        return list(dict.fromkeys(files))

    return results


def value(setting, *arguments):
    """A value, or the result of calling it if it is a function."""
    return setting(*arguments) if callable(setting) else setting


for analysis in (ANALYSES[name] for name in settings.analyses):
    section = settings.section(analysis.name)
    for step in wanted.steps(settings, analysis):
        place = result_place(analysis, step)
        runs_model = value(step.runs_model, section)
        subject = "all models" if step.compares_models else "{m}"
        constraints = {}
        if not step.compares_models:
            constraints["m"] = "|".join(wanted.models(settings, analysis, [step]))
        if step.parts:
            constraints["part"] = "|".join(step.parts(settings, section))

        rule:
            name:
                f"{analysis.name}_{step.name}"
            input:
                unpack(step_inputs(analysis, step)),
            output:
                done(place),
                [
                    report(
                        f"{place.parent}/{table}.csv",
                        category=analysis.name,
                        subcategory=subject,
                        labels={"table": table.replace("_", " ")},
                    )
                    for table in step.tables
                ],
                [f"{place.parent}/{file}" for file in step.files],
            log:
                f"{layout.LOGS / place.relative_to(layout.RESULTS)}.log",
            wildcard_constraints:
                **constraints,
            # Long steps first, so that none of them runs alone at the end.
            priority: 2 if runs_model else 1
            localrule: step.compares_models  # it only combines the results of other steps
            threads: 1
            resources:
                mem_mb=needs.model_memory if runs_model else needs.memory(8000),
                runtime=(
                    needs.model_time(
                        step.runtime, value(step.passes, settings, section)
                    )
                    if runs_model
                    else needs.time(step.runtime)
                ),
                gpu=needs.gpus if runs_model else 0,
                gres=needs.gres if runs_model else "",
            params:
                command=f"{analysis.name} {step.name}",
                scope=lambda wildcards: " ".join(
                    f"--{'model' if wildcard == 'm' else wildcard} {chosen}"
                    for wildcard, chosen in wildcards.items()
                ),
                settings=step_settings(analysis, step, dumped),
                code=step_settings(
                    analysis, step, functools.partial(code_of, analysis, step)
                ),
            message:
                f"{analysis.name}: "
                + step.message.format(model="{wildcards.m}", part="{wildcards.part}")
                + ("" if step.compares_models else ASKS)
            shell:
                "OMP_NUM_THREADS={threads} {NEUROGLOT} --gpus {resources.gpu} step"
                " {params.command} {params.scope} {CONFIGURATION} 2>&1 | tee {log}"

    for figure_set in wanted.figure_sets(settings, analysis):
        steps = [analysis.step(name) for name in figure_set.steps]
        across = steps[0].compares_models
        figures = figure_paths(analysis, figure_set)

        rule:
            name:
                f"{analysis.name}_figures_{figure_set.name}"
            input:
                [done(result_place(analysis, step)) for step in steps],
            output:
                [
                    (
                        report(
                            path,
                            category=analysis.name,
                            subcategory="all models" if across else "{m}",
                            labels={"figure": Path(path).stem.replace("_", " ")},
                        )
                        if path.endswith(".png")
                        else path
                    )
                    for path in figures
                ],
            log:
                f"{layout.LOGS / Path(figures[0]).parent.relative_to(layout.RESULTS)}/{figure_set.name}.log",
            wildcard_constraints:
                **(
                    {}
                    if across
                    else {"m": "|".join(wanted.models(settings, analysis, steps))}
                ),
            localrule: True
            params:
                command=f"{analysis.name} {figure_set.name}",
                scope="" if across else lambda wildcards: f"--model {wildcards.m}",
                code=code_of_figures(analysis, figure_set),
            message:
                f"{analysis.name}: figures of {figure_set.name}"
            shell:
                "{NEUROGLOT} draw {params.command} {params.scope} {CONFIGURATION}"
                " 2>&1 | tee {log}"
