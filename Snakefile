"""The entry point: the configuration, the rules, and one target per analysis."""

from pathlib import Path

if (
    not workflow.configfiles
):  # --configfile replaces config.yaml and is not merged into it

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/recordings.smk"
include: "workflow/rules/analyses.smk"
include: "workflow/rules/report.smk"


onerror:
    # Local jobs' messages stand far above, and those of a cluster in its logs alone.
    if workflow.is_main_process:
        summary.remove_stale(drawn_from_and_figures())
        print(
            "\nWhat failed:",
            *summary.failures(STARTED),
            sep="\n  ",
            file=sys.stderr,
        )


rule all:
    default_target: True
    input:
        [results_of(analysis) for analysis in settings.analyses],
        rules.report.output,
    localrule: True
    message:
        "every configured analysis is done"


for analysis in ANALYSES.values():

    rule:
        name:
            analysis.name
        input:
            results_of(analysis.name),
        localrule: True
        message:
            f"{analysis.name}: {analysis.title}"
