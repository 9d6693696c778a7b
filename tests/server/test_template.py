import pytest

from utils.errors import BadInput
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
