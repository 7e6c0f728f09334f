"""Table of contents: the configuration, the stages, and one target per paper."""

from pathlib import Path

if (
    not workflow.configfiles
):  # --configfile replaces config.yaml and is not merged into it

    configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/roles.smk"
include: "workflow/rules/lexicon.smk"
include: "workflow/rules/sharing.smk"
include: "workflow/rules/experts.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/lape.smk"
include: "workflow/rules/agreement.smk"
include: "workflow/rules/boost.smk"
include: "workflow/rules/reductions.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    roles,
    lexicon,
    sharing,
    experts,
    transfer,
    lape,
    agreement,
    boost,


rule roles:
    input:
        results_of("roles"),
    message:
        "roles: detectors and combinators through the layers"


rule lexicon:
    input:
        results_of("lexicon"),
    message:
        "lexicon: what the last layer's neurons write"


rule sharing:
    input:
        results_of("sharing"),
    message:
        "sharing: neurons that languages share in tasks"


rule experts:
    input:
        results_of("experts"),
    message:
        "experts: languages over clustered neurons"


rule transfer:
    input:
        results_of("transfer"),
    message:
        "transfer: neurons between latent spaces"


rule lape:
    input:
        results_of("lape"),
    message:
        "lape: the neurons that are a language's own"


rule agreement:
    input:
        results_of("agreement"),
    message:
        "agreement: whether methods name the same neurons"


rule boost:
    input:
        results_of("boost"),
    message:
        "boost: text written with a language's neurons multiplied"


rule all:
    default_target: True
    input:
        [results_of(paper) for paper in settings.analyses],
        rules.report.output,
    message:
        "every configured analysis is done"
