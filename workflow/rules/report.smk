"""The report: all figures and tables of the configured papers in one HTML file."""


rule report:
    input:
        roles_results(),
    output:
        report="results/report.html",
    log:
        "results/logs/report.log",
    params:
        files=" ".join(str(file) for file in workflow.configfiles),
    message:
        "report: figures and tables with captions"
    shell:
        "snakemake roles --nolock --configfile {params.files} --report {output}"
        " > {log} 2>&1 || (cat {log} >&2; exit 1)"
