"""The roles paper: reductions over all languages of a model, and the figures drawn from them."""

from neuroglot.figures import roles as roles_figures

ROLES = settings.roles
ROLES_OWN_SETTINGS = {
    "activation_frequency": {"rule", "combinator_gelu", "replicates"},
    "flatness": {"replicates"},
    "rank_correlation": {"replicates"},
    "parallel_sets": {"replicates"},
    "heatmap": {"heatmap_layers", "heatmap_rows"},
    "distance": {"scale", "replicates"},
    "rsa": {"rsa_stimuli", "replicates"},
}


def roles_inputs(name, models):
    """The stores a reduction compares; only overlap of the sets looks at texts and tokens too."""
    corpora = ROLES.corpora[:1] if name in ("heatmap", "rsa") else ROLES.corpora
    inputs = [
        path
        for m in models
        for group in ("roles", "sample")
        for path in over(corpora, ACTIVATIONS, m=m, group=group)
    ]
    if name == "parallel_sets":
        inputs += [path for m in models for path in over(corpora, TOKENS, m=m)]
        inputs += over(corpora, TEXT)
    return inputs


def roles_reduction(name):
    across = name == "rsa"
    models = list(settings.models)
    own = ROLES.model_dump(mode="json", include=ROLES_OWN_SETTINGS.get(name, set()))

    def inputs(wildcards):
        return roles_inputs(name, models if across else [wildcards.m])

    def read(wildcards):
        return {
            **own,
            **analysed(settings.corpus_languages(*ROLES.corpora)),
            "corpora": ROLES.corpora,
            "pivot": settings.pivot,
            **({"models": models} if across else {"model": wildcards.m}),
        }

    return Reduction(
        paper="roles",
        name=name,
        place=f"results/roles/{name}" if across else f"results/roles/{{m}}/{name}",
        inputs=inputs,
        settings=read,
        tables=() if name == "heatmap" else (name,),
        message=(
            f"roles: similarity of {name} between all models"
            if across
            else f"roles: {name} of {{wildcards.m}}"
        ),
    )


if ROLES:
    plan(
        [
            roles_reduction(name)
            for name in dict.fromkeys(
                [name for names in roles_figures.REDUCTIONS.values() for name in names]
                + ["dominant_neurons"]
            )
        ],
        roles_figures,
    )
