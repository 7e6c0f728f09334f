"""The report: all figures and tables of the configured analyses, in one HTML file."""

import itertools
import json

from neuroglot.provenance import digest, fingerprint

CONFIGFILES = list(map(str, workflow.configfiles))


def templates():
    """The page's template and those of the captions; a change of their words makes the report."""
    captions = [wanted.captions(settings, ANALYSES[name]) for name in settings.analyses]
    page = Path(layout.__file__).parent / "report" / "page.html"
    return [page, *itertools.chain(*captions)]


rule report:
    input:
        [results_of(analysis) for analysis in settings.analyses],
    output:
        str(layout.REPORT),
    log:
        "results/logs/report.log",
    localrule: True
    params:
        configuration=digest(json.dumps(config, sort_keys=True, default=str)),
        versions=dict(ownership.versions()),
        words=lambda wildcards: digest(
            [path.read_text("utf-8") for path in templates()]
        ),
        code=fingerprint("neuroglot.report:write_report"),
    message:
        "report: figures and tables with captions"
    shell:
        "{NEUROGLOT} report {CONFIGURATION} 2>&1 | tee {log}"


# Snakemake's own report, which also shows the jobs; it is made only if its target is named.
rule report_snakemake:
    input:
        [results_of(analysis) for analysis in settings.analyses],
    output:
        str(layout.REPORT_SNAKEMAKE),
    log:
        "results/logs/report-snakemake.log",
    localrule: True
    params:
        analyses=settings.analyses,
    message:
        "report of Snakemake: figures, tables and jobs"
    shell:
        "snakemake {params.analyses} --nolock --snakefile {workflow.main_snakefile:q}"
        " --configfile {CONFIGFILES:q}"
        " --report {output}"
        " > {log} 2>&1 || (cat {log} >&2; exit 1)"
