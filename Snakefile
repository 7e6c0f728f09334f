"""Table of contents: the configuration, the stages, and one target per paper."""

from pathlib import Path

if not config:  # --configfile replaces config.yaml instead of being merged into it

    configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/roles.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    roles,


rule roles:
    input:
        roles_results(),
    message:
        "roles: detectors and combinators through the layers"


rule all:
    default_target: True
    input:
        rules.roles.input,
        rules.report.output,
    message:
        "every configured analysis is done"
