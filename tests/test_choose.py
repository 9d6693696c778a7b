"""Which model for this case: each demand rules out what does not meet it and says why."""

import pytest

from utils import catalog
from utils.choose import SERVICE, choose


def against(advice, name):
    return next(one.against for one in advice.candidates if one.name == name)


def test_a_small_machine_gets_a_small_model() -> None:
    advice = choose(memory_gb=3.5)
    assert advice.best and advice.best.name == "Phi-4-mini" and advice.best.gigabytes < 3.5
    assert against(advice, "Phi-3.5-MoE").startswith("needs 2")
    assert against(advice, SERVICE) == "the text would leave the machine"
    assert str(advice).endswith("Begin with Phi-4-mini, and measure it on cases of your own.")


def test_a_long_context_needs_room_and_a_model_that_has_it() -> None:
    advice = choose(memory_gb=64, context=100_000)
    assert "4,096 tokens" in against(advice, "Phi-3-mini-4k") and against(advice, "Phi-3.5-mini") == ""
    row = catalog.load().models["phi-3.5-mini"]
    assert row.needs_gb(100_000) - row.needs_gb(0) == pytest.approx(39.3216)


def test_languages_rule_out_those_made_for_english() -> None:
    advice = choose(memory_gb=64, languages=True)
    kept = {one.name for one in advice.candidates if not one.against}
    assert kept == {"Phi-4-mini", "Phi-3.5-mini", "Phi-3.5-MoE"}


def test_pictures_need_a_model_that_sees() -> None:
    advice = choose(memory_gb=64, pictures=True)
    assert [one.name for one in advice.candidates] == ["Phi-3.5-vision", SERVICE]


def test_wide_knowledge_takes_the_largest_that_may_be_used() -> None:
    assert choose(memory_gb=64, private=False, wide_knowledge=True).best.name == SERVICE
    assert choose(memory_gb=64, private=True, wide_knowledge=True).best.name == "Phi-3.5-MoE"


def test_where_nothing_fits_it_says_what_to_change() -> None:
    advice = choose(memory_gb=0.5)
    assert advice.best is None and str(advice).endswith("or fewer demands.")


def test_every_candidate_can_be_weighed() -> None:
    for model in catalog.load().models.values():
        assert model.kind == "pocket" or model.needs_gb(), f"{model.name}: its memory is not known"


def test_it_says_what_the_catalogue_says() -> None:
    for one in choose(memory_gb=64).candidates[:-1]:
        (row,) = [m for m in catalog.load().models.values() if m.title.removesuffix("-instruct") == one.name]
        assert one.gigabytes == row.needs_gb(4096)
