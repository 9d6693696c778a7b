"""A shape so small that a rehearsal of it takes seconds."""

import pytest


@pytest.fixture(scope="session")
def tiny() -> dict[str, int]:
    return {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "vocab_size": 7000,
        "num_hidden_layers": 6,
    }
