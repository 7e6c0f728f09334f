"""A chat template of any content is rendered in little time and memory, or refused in words."""

import json
import resource
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroglot.errors import NeuroglotError
from neuroglot.models import rendering
from neuroglot.models.chat import of_template, read_chat
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from support.chats import TEMPLATES, tuned
from tools import hostile

KIND = "models, templates"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
WRITES = "{{ messages[0].content }}"
NESTED = "".join(f"{{% for i{n} in range(99999) %}}" for n in range(4)) + "{% endfor %}" * 4
HOSTILE = {
    "a loop without end": NESTED + WRITES,
    "a loop without end that writes": NESTED.replace("{% endfor %}", "x{% endfor %}", 1),
    "a macro that calls itself": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "a long text": "{{ 'x' * 2000000 }}" + WRITES,
    "a text of terabytes": "{{ 'x' * 10**13 }}" + WRITES,
    "a text that doubles": "{% set n = namespace(x='x') %}{% for i in range(60) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}" + WRITES,
    "a number without end": "{{ 9**(9**(9**9)) }}" + WRITES,
    "a width of gigabytes": "{{ '%09999999999d' | format(1) }}" + WRITES,
    "a padding of gigabytes": "{{ 'x' | center(10**11) }}" + WRITES,
    "a date of gigabytes": "{{ strftime_now('%9999999999d' * 99999) }}" + WRITES,
    "Python's classes": "{{ ().__class__.__base__.__subclasses__() }}" + WRITES,
    "Python's globals": "{{ raise_exception.__globals__['os'].system('touch owned') }}" + WRITES,
    "Python's modules": "{{ self.__init__.__globals__.__builtins__.__import__('os') }}" + WRITES,
    "another file": "{% include '/etc/passwd' %}" + WRITES,
    "a change of the messages": "{{ messages.append('x') }}" + WRITES,
    "deep brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}" + WRITES,
    "a long comment": "{# " + "{% {{" * 50_000 + " #}" + WRITES,
    "nothing": " ",
    "an error": "{{ raise_exception('x' * 100000) }}",
}
KEPT = {"a long comment"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tuned(tmp_path_factory.mktemp("tuned"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused_soon_and_run_nothing(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rendering, "SECONDS", 2)
    most = max(_memory(), (rendering.MEGABYTES + 1024) << 10)  # of earlier tests' processes too
    kept = False
    with hostile.attempt(KIND):
        kept = bool(of_template(HOSTILE[name], TOKENS))
    assert kept == (name in KEPT)
    assert not list(tmp_path.iterdir())
    assert _memory() <= most


def _memory() -> int:
    """The most memory that a process that this one started has had, in KB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


@pytest.mark.parametrize("asked", [False, True])
def test_a_hostile_template_matters_only_where_it_is_asked(source, tmp_path, monkeypatch, asked):
    monkeypatch.setattr(rendering, "SECONDS", 2)
    shutil.copytree(source, tmp_path / "source")
    (tmp_path / "source" / "chat_template.jinja").write_text(HOSTILE["a number without end"])
    settings = ModelSettings(source=str(tmp_path / "source"))
    if not asked:
        normalise(settings, tmp_path / "m")
        hostile.count(KIND, "accepted")
    with pytest.raises(NeuroglotError) as told:
        normalise(settings, tmp_path / "m", chat=True) if asked else read_chat(tmp_path / "m")
    hostile.check_message(str(told.value), "takes more than 2 seconds or 512 MB")
    hostile.count(KIND, "refused")
    assert (tmp_path / "m").exists() != asked


@pytest.mark.parametrize(
    "template", [5, [], ["a"], {"default": 3}, {"tool": "x"}, [{"name": "a"}], True, "\0", "é" * 9]
)
def test_what_is_no_template_gives_a_model_or_is_refused(source, tmp_path, template):
    shutil.copytree(source, tmp_path / "source")
    (tmp_path / "source" / "chat_template.jinja").unlink()
    file = tmp_path / "source" / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))
    with hostile.attempt(KIND):
        normalise(ModelSettings(source=str(tmp_path / "source")), tmp_path / "m", chat=True)
    assert not (tmp_path / "m").exists()


@st.composite
def changed(draw):
    """A template with a few characters changed, put in or left out."""
    template = draw(st.sampled_from(list(TEMPLATES.values())))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(template) - 1))
        put = draw(st.sampled_from(["", "{", "}", "%", "{{ x }}", "'", "|", "_", "~", "\n", " "]))
        template = template[:place] + put + template[place + draw(st.integers(0, 2)) :]
    return template


@hostile.many(0.2)
@given(changed())
def test_changed_templates_write_a_text_as_it_is_or_are_refused(template):
    with hostile.attempt(KIND):
        chat = of_template(template, TOKENS)
        turn = [{"role": "user", "content": "Wie geht es?"}]
        [written] = rendering.render(template, TOKENS, [rendering.Turns(turn, True)])
        whole = f"{chat.before}Wie geht es?{chat.after}"
        # A line feed that the template has before an answer only may follow.
        assert whole.startswith(written)
        assert not whole.removeprefix(written).strip("\n")
