"""The roles paper: reductions over all languages of a model, and the figures drawn from them."""

from neuroglot.figures.roles import FAMILIES, REDUCTIONS

ROLES = settings.roles
PER_MODEL = [
    "activation_frequency",
    "flatness",
    "heatmap",
    "dominant_neurons",
    "distance",
    "rank_correlation",
    "parallel_sets",
]
TABLES = [name for name in PER_MODEL if name != "heatmap"]
OWN_SETTINGS = {
    "activation_frequency": {"rule", "combinator_gelu"},
    "heatmap": {"heatmap_layers", "heatmap_rows"},
    "distance": {"scale"},
    "rsa": {"rsa_stimuli"},
}
STORE = "results/activations/{m}/{c}/{l}.zarr/complete.json"


def reduction_inputs(name, model):
    """The stores a reduction compares; only overlap of the sets looks at texts and tokens too."""
    corpora = ROLES.corpora[:1] if name in ("heatmap", "rsa") else ROLES.corpora
    inputs = over(corpora, STORE, m=model)
    if name == "parallel_sets":
        inputs += over(
            corpora, "results/tokens/{m}/{c}/{l}.zarr/complete.json", m=model
        )
        inputs += over(corpora, "results/corpora/{c}/{l}.parquet")
    return inputs


def reduction_settings(name, **more):
    """Only what this reduction reads, so that no other setting reruns it."""
    languages = [
        language
        for language in settings.languages
        if any(
            language in settings.corpus_languages(corpus) for corpus in ROLES.corpora
        )
    ]
    return as_json(
        {
            **ROLES.model_dump(mode="json", include=OWN_SETTINGS.get(name, set())),
            "corpora": ROLES.corpora,
            "languages": languages,
            "language_table": language_table(languages),
            "pivot": settings.pivot,
            **more,
        }
    )


def store_folders(wildcards, input):
    """The stores whose completion records are the inputs, and the files as they are."""
    return [path.removesuffix("/complete.json") for path in input]


rule roles_reduction:
    input:
        lambda wildcards: reduction_inputs(wildcards.name, wildcards.m),
    output:
        "results/roles/{m}/{name}.zarr/complete.json",
        report(
            "results/roles/{m}/{name}.csv",
            caption="../report/table.rst",
            category="roles",
            subcategory="{m}",
            labels={"table": "{name}"},
        ),
    log:
        "results/logs/roles/{m}/{name}.log",
    wildcard_constraints:
        name="|".join(TABLES),
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        stores=store_folders,
        output=lambda wildcards: f"results/roles/{wildcards.m}/{wildcards.name}.zarr",
        settings=lambda wildcards: reduction_settings(wildcards.name, model=wildcards.m),
        code=lambda wildcards: fingerprint(
            "neuroglot.steps.reduce", f"neuroglot.steps.roles.{wildcards.name}"
        ),
    message:
        "roles: {wildcards.name} of {wildcards.m}"
    shell:
        "neuroglot reduce roles {wildcards.name} {params.stores:q} --settings {params.settings:q}"
        " --output {params.output} 2>&1 | tee {log}"


use rule roles_reduction as roles_heatmap with:
    input:
        lambda wildcards: reduction_inputs("heatmap", wildcards.m),
    output:
        "results/roles/{m}/{name}.zarr/complete.json",
    wildcard_constraints:
        name="heatmap",


use rule roles_reduction as roles_rsa with:
    input:
        [path for model in settings.models for path in reduction_inputs("rsa", model)],
    output:
        "results/roles/{name}.zarr/complete.json",
        report(
            "results/roles/{name}.csv",
            caption="../report/table.rst",
            category="roles",
            subcategory="all models",
            labels={"table": "{name}"},
        ),
    log:
        "results/logs/roles/{name}.log",
    wildcard_constraints:
        name="rsa",
    params:
        stores=store_folders,
        output="results/roles/rsa.zarr",
        settings=reduction_settings("rsa", models=list(settings.models)),
        code=fingerprint("neuroglot.steps.reduce", "neuroglot.steps.roles.rsa"),
    message:
        "roles: similarity of {wildcards.name} between all models"


def figure_files(family, place):
    """A family's figures as SVG, for print, and PNG, for the report."""
    return [
        f"{place}/{stem}.{kind}" for stem in FAMILIES[family] for kind in ("svg", "png")
    ]


def figure_inputs(family, place):
    return [f"{place}/{name}.zarr/complete.json" for name in REDUCTIONS[family]]


for family in FAMILIES:
    place = "results/roles" if family == "rsa" else "results/roles/{m}"

    rule:
        name:
            f"roles_figures_{family}"
        input:
            figure_inputs(family, place),
        output:
            **{
                f"figure_{number}": (
                    report(
                        path,
                        caption=f"../report/{Path(path).stem}.rst",
                        category="roles",
                        subcategory="{m}" if "{m}" in place else "all models",
                        labels={"figure": Path(path).stem.replace("_", " ")},
                    )
                    if path.endswith(".png")
                    else path
                )
                for number, path in enumerate(figure_files(family, f"{place}/figures"))
            },
        log:
            f"{place.replace('results', 'results/logs')}/figures_{family}.log",
        resources:
            mem_mb=2000,
            runtime=20,
        params:
            stores=store_folders,
            family=family,
            folder=lambda wildcards, output: str(Path(output[0]).parent),
            code=fingerprint(
                "neuroglot.steps.draw", f"neuroglot.figures.roles.{family}"
            ),
        message:
            f"roles: figures of {family}"
        shell:
            "neuroglot draw roles {params.family} {params.stores:q} --output {params.folder}"
            " 2>&1 | tee {log}"


def roles_results():
    """Every figure and table of the paper, for every model."""
    results = ["results/roles/rsa.csv", *figure_files("rsa", "results/roles/figures")]
    for model in settings.models:
        results += [f"results/roles/{model}/{name}.csv" for name in TABLES]
        for family in FAMILIES:
            if family != "rsa":
                results += figure_files(family, f"results/roles/{model}/figures")
    return results
