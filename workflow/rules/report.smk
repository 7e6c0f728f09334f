"""The report: all figures and tables of the configured papers in one HTML file."""


rule report:
    input:
        roles_results(),
    output:
        report="results/report.html",
    log:
        "results/logs/report.log",
    message:
        "report: figures and tables with captions"
    shell:
        "snakemake roles --nolock --report {output} > {log} 2>&1 || (cat {log} >&2; exit 1)"
