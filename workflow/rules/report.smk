"""The report: all figures and tables of the configured analyses, in one HTML file."""

CONFIGFILES = list(map(str, workflow.configfiles))


rule report:
    input:
        [results_of(analysis) for analysis in settings.analyses],
    output:
        str(layout.REPORT),
    log:
        "results/logs/report.log",
    localrule: True
    params:
        analyses=settings.analyses,
    message:
        "report: figures and tables with captions"
    shell:
        "snakemake {params.analyses} --nolock --snakefile {workflow.main_snakefile:q}"
        " --configfile {CONFIGFILES:q}"
        " --report {output}"
        " > {log} 2>&1 || (cat {log} >&2; exit 1)"
