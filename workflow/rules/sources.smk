"""Models and texts: obtained once, in one layout whatever their source."""


rule model:
    output:
        "results/models/{m}/card.json",
    log:
        "results/logs/model/{m}.log",
    localrule: True
    params:
        settings=lambda wildcards: dumped(settings.models[wildcards.m]),
        code=fingerprint("neuroglot.steps.model"),
    message:
        "model {wildcards.m}: weights, tokenizer and card"
    shell:
        "neuroglot model --settings {params.settings:q} --output results/models/{wildcards.m}"
        " 2>&1 | tee {log}"


rule package:
    output:
        "results/packages/{reference}",
    log:
        "results/logs/package/{reference}.log",
    retries: 2
    localrule: True
    params:
        package=lambda wildcards: str(packages()[wildcards.reference]),
        sha256=lambda wildcards: packages()[wildcards.reference].sha256,
        code=fingerprint("neuroglot.steps.package"),
    message:
        "package {params.package}: download"
    shell:
        "neuroglot package {params.package:q} --sha256 {params.sha256} --output {output:q}"
        " 2>&1 | tee {log}"


def packages():
    """The packages that hold corpora, by the name of their archive."""
    found = (corpus.package() for corpus in settings.corpora.values())
    return {archive_name(package): package for package in found if package}


def archive_name(package):
    return f"{package.registry}-{package.name}-{package.version}".replace("/", "_")


def corpus_inputs(wildcards):
    corpus = settings.corpora[wildcards.c]
    package = corpus.package()
    archive = [f"results/packages/{archive_name(package)}"] if package else []
    return archive + [str(path) for path in corpus.inputs(wildcards.l)]


rule corpus:
    input:
        corpus_inputs,
    output:
        TEXT,
    log:
        "results/logs/corpus/{c}/{l}.log",
    localrule: True
    params:
        settings=lambda wildcards: as_json(
            settings.corpora[wildcards.c].model_dump(
                mode="json", exclude={"languages", "prefix"}
            )
        ),
        archive=lambda wildcards, input: (
            f"--archive {input[0]}" if settings.corpora[wildcards.c].package() else ""
        ),
        code=lambda wildcards: fingerprint(
            "neuroglot.steps.corpus", type(settings.corpora[wildcards.c]).__module__
        ),
    message:
        "corpus {wildcards.c}: {wildcards.l}"
    shell:
        "neuroglot corpus --settings {params.settings:q} --language {wildcards.l}"
        " {params.archive} --output {output:q} 2>&1 | tee {log}"


rule task:
    input:
        lambda wildcards: [
            str(path) for path in settings.tasks[wildcards.t].inputs(wildcards.l)
        ],
    output:
        ITEMS,
    log:
        "results/logs/task/{t}/{l}.log",
    localrule: True
    params:
        settings=lambda wildcards: as_json(
            settings.tasks[wildcards.t].model_dump(mode="json")
        ),
        code=lambda wildcards: fingerprint(
            "neuroglot.steps.task", type(settings.tasks[wildcards.t]).__module__
        ),
    message:
        "task {wildcards.t}: {wildcards.l}"
    shell:
        "neuroglot task --settings {params.settings:q} --language {wildcards.l}"
        " --output {output:q} 2>&1 | tee {log}"
