"""The doctor's table: every finding, its fix, and no markup from outside."""

from types import SimpleNamespace

import pytest

from utils.widgets import Doctor

FINDINGS = [
    SimpleNamespace(name="Python", status="ok", detail="3.12", fix=""),
    SimpleNamespace(name="Ollama", status="missing", detail="not <here>", fix="Run `ollama <b> && 'a' \"b\"` <now>."),
    SimpleNamespace(name="memory", status="warn", detail="1 GB free", fix="Close other programs."),
]


def test_every_finding_is_in_the_table_and_in_the_text():
    doctor = Doctor(lambda: FINDINGS)
    for finding in FINDINGS:
        assert finding.name in str(doctor) and finding.name in doctor._table.value
    assert "✓ ready" in str(doctor) and "✗ missing" in str(doctor) and "○ note" in str(doctor)
    assert "1 of 3 ready." in doctor._note.value


def test_text_of_a_finding_is_never_markup():
    table = Doctor(lambda: FINDINGS)._table.value
    assert "not &lt;here&gt;" in table and "<here>" not in table and "&lt;now&gt;" in table
    assert ">ollama &lt;b&gt; &amp;&amp; &#x27;a&#x27; &quot;b&quot;</code>" in table


def test_the_copy_button_reads_its_neighbour_and_holds_no_words_of_the_command():
    buttons = [part.split("</button>")[0] for part in Doctor(lambda: FINDINGS)._table.value.split("<button")[1:]]
    assert len(buttons) == 1  # commands only: there is nothing to copy in "Close other programs."
    assert "previousElementSibling" in buttons[0] and "&amp;&amp;" not in buttons[0]


def test_check_again_looks_again():
    looks = iter([FINDINGS[:1], FINDINGS])
    doctor = Doctor(lambda: next(looks))
    assert "Ollama" not in str(doctor)
    doctor.again.click()
    assert "Ollama" in str(doctor) and "Ollama" in doctor._table.value


def test_long_findings_wrap_inside_their_column():
    long = SimpleNamespace(name="disk", status="ok", detail="word " * 40, fix="")
    lines = str(Doctor(lambda: [long])).splitlines()
    assert len(lines) > 4 and max(map(len, lines)) <= 100


@pytest.mark.parametrize("findings", [[], FINDINGS])
def test_the_notebook_gets_text_beside_the_widget(findings):
    doctor = Doctor(lambda: findings)
    assert doctor._repr_mimebundle_()["text/plain"] == repr(doctor) == str(doctor)
