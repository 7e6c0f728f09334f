"""The report: all figures and tables of the configured papers in one HTML file."""


rule report:
    input:
        [results_of(paper) for paper in settings.analyses],
    output:
        report="results/report.html",
    log:
        "results/logs/report.log",
    localrule: True
    params:
        files=[str(file) for file in workflow.configfiles],
        papers=settings.analyses,
    message:
        "report: figures and tables with captions"
    shell:
        "snakemake {params.papers} --nolock --configfile {params.files:q} --report {output}"
        " > {log} 2>&1 || (cat {log} >&2; exit 1)"
