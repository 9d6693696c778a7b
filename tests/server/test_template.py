import time

import pytest

from utils.errors import BadInput, TooLong
from utils.server.template import conversation, render


@pytest.mark.parametrize(
    ("template", "system", "want"),
    [
        ("{{ .System }}|{{ .Prompt }}", "s", "s|p"),
        ("{{ if .System }}[{{ .System }}]{{ end }}{{ .Prompt }}", "", "p"),
        ("{{if .System}}[{{.System}}]{{else}}none {{end}}{{.Prompt}}", "", "none p"),
        ("{{ if .System }}{{ if .Prompt }}both{{ else }}one{{ end }}{{ end }}", "s", "both"),
        ("{{ if .System }}{{ if .Prompt }}both{{ else }}one{{ end }}{{ end }}", "", ""),
        ("a  {{- .Prompt -}}  b", "", "apb"),
        ("no action", "s", "no action"),
    ],
)
def test_a_template_is_filled(template, system, want):
    assert render(template, {"System": system, "Prompt": "p"}) == want


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ end }}", "an {{ end }} too many"),
        ("{{ else }}", "an {{ else }} too many"),
        ("{{ if .Prompt }}x", "lacks an {{ end }}"),
        ("{{ range .Messages }}", "not 'range .Messages'"),
        ("{{ .Tools }}", r"know .System, .Prompt, if, else and end, but not '.Tools'"),
        ("{{ if Prompt }}{{ end }}", "not 'Prompt'"),
    ],
)
def test_what_it_does_not_know_is_said(template, said):
    with pytest.raises(BadInput) as caught:
        render(template, {"System": "s", "Prompt": "p"})
    assert said in str(caught.value)


def test_each_exchange_stands_in_the_template_and_the_last_waits_for_its_answer():
    template = "{{ if .System }}S:{{ .System }} {{ end }}U:{{ .Prompt }} A:{{ .Response }}."
    talk = [
        {"role": "system", "content": "short"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
    ]
    assert conversation(template, talk) == "S:short U:one A:1.U:two A:"


def test_several_messages_of_one_role_are_one():
    template = "{{ .System }}|{{ .Prompt }}|{{ .Response }}"
    talk = [
        ("system", "a"),
        ("system", "b"),
        ("user", "c"),
        ("user", ""),
        ("user", "d"),
        ("assistant", "e"),
        ("user", "f"),
    ]
    made = conversation(template, [{"role": role, "content": content} for role, content in talk])
    assert made == "a\n\nb|c\n\nd|e|f|"


def test_nothing_in_a_text_or_a_template_takes_the_place_of_the_answer():
    parts = [{"type": "text", "text": "t\0u"}]
    for content in ("t\0u", parts):
        assert conversation("{{ .Prompt }}\0, {{ .Response }}.", [{"role": "user", "content": content}]) == "tu, "


@pytest.mark.parametrize(
    "template", ["{{" + " " * 19_000, "{{" * 9_000, "{{- if .Prompt -}}" * 1_000, " " * 19_000 + "{{-"]
)
def test_no_template_takes_long(template):
    began = time.process_time()
    try:
        render(template, {"System": "s", "Prompt": "p"})
    except BadInput as error:
        assert "lacks an {{ end }}" in str(error)
    assert time.process_time() - began < 1


def test_neither_a_template_nor_what_it_makes_is_too_long():
    with pytest.raises(BadInput, match="20,001 characters long"):
        render("x" * 20_001, {})
    with pytest.raises(TooLong, match="more than 20,000,000 characters"):
        render("{{ .Prompt }}" * 1_000, {"Prompt": "x" * 1_000_000})
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}] * 2_000
    with pytest.raises(TooLong, match="more than 20,000,000 characters"):
        conversation("x" * 20_000, turns)
