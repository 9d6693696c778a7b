"""The one tokenizer of the family: byte-level BPE with Phi-3's special tokens and chat template.

Merges never cross a space, a digit or a punctuation mark, so that a name has the same ids after a quote, a bracket or a
newline: without that a tiny model does not learn to copy. The last merges then join a space and the token that a word
begins with ("Ġ" and "Tor" of "Torvin"), which saves a third of all tokens and changes no other token of the word, and
the punctuation pairs of JSON and sums. Digits stay single tokens.
Any text can be encoded, since all 256 bytes are tokens. It is trained on the corpus in six languages.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from . import TAG
from .dialogue import conversation
from .grammar import Document, load
from .pictures import ACROSS
from .tasks.writing import parallel

SIZE = 5120
SPACED = 1700  # tokens that words often begin with, which also exist with a leading space
PAIRS = ('{"', '":', ' "', '",', '"}', "}}", " {", " +", " -", " =", " (", "):")  # no letters: names stay
FIRST = ("<unk>", "<s>", "</s>")
LAST = (  # in Phi-3's order: there <|endoftext|> is 32000, here it is 5109
    "<|endoftext|>",
    "<|assistant|>",
    "<|placeholder1|>",
    "<|placeholder2|>",
    "<|placeholder3|>",
    "<|placeholder4|>",
    "<|system|>",
    "<|end|>",
    "<|placeholder5|>",
    "<|placeholder6|>",
    "<|user|>",
)
PICTURE = LAST[2]  # stands for each patch of a picture, where a prompt says <|image_1|>
TEMPLATE = (  # Phi-3.5-mini-instruct's
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}"
    "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
LANGUAGES = ("zh", "ja", "es", "fr", "de")


def corpus(conversations: int = 24_000, phrases: int = 1_500) -> Iterator[str]:
    """Texts to count: English conversations, the phrasebook in every language, and the files of the other languages."""
    for seed in range(conversations):
        made = conversation(seed)
        yield from (text for turn in made.turns for text in (made.system, turn.prompt, turn.reply) if text)
    for i in range(phrases):
        yield from parallel(Document(random.Random(i)), LANGUAGES, load("phrases")["phrase"])
    for word in load("phrases")["word"]:
        yield from (word[code] for code in LANGUAGES for _ in range(4))
    for phrase in load("phrases")["phrase"]:
        yield from (re.sub(r"\{\w+\}", "", phrase[code]) for code in LANGUAGES for _ in range(2))
    for code in LANGUAGES:
        yield from (re.sub(r"\{\w+\}|[\[\]|]", " ", text) for text in _strings(load(code)) for _ in range(2))


def _strings(texts: Any) -> Iterator[str]:
    """Every string of a corpus file."""
    if isinstance(texts, str):
        yield texts
    elif isinstance(texts, dict | list):
        for part in texts.values() if isinstance(texts, dict) else texts:
            yield from _strings(part)


def train(texts: Iterable[str]) -> Tokenizer:
    """The tokenizer, of exactly SIZE entries."""
    texts = list(texts)
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(r"\p{L}+|\p{N}|[^\p{L}\p{N}]"), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    size = SIZE - len(FIRST) - len(LAST) - SPACED - len(PAIRS)
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    made = json.loads(tokenizer.to_str())
    vocabulary = {word: i + len(FIRST) for word, i in made["model"]["vocab"].items()}
    merges = [tuple(pair) for pair in made["model"]["merges"]]
    extra = [("Ġ", piece) for piece in _beginnings(tokenizer, texts)]
    for left, right in [*extra, *((pair[0].replace(" ", "Ġ"), pair[1]) for pair in PAIRS)]:
        merges.append((left, right))
        vocabulary[left + right] = len(vocabulary) + len(FIRST)
    vocabulary = {token: i for i, token in enumerate(FIRST)} | vocabulary
    return _assemble(vocabulary, merges)


def _beginnings(tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    """The tokens that words after a space most often begin with."""
    words = Counter(word for text in texts for word in re.findall(r" ([^\W_]+)", text))
    counts: Counter[str] = Counter()
    for word, count in words.items():
        counts[tokenizer.encode(word).tokens[0]] += count
    return [piece for piece, _ in counts.most_common(SPACED)]


def _assemble(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)  # GPT-2's splitting, which every runtime knows
    tokenizer.decoder = ByteLevelDecoder()
    made = json.loads(tokenizer.to_str())
    names = [*FIRST, *LAST]
    ids = [*range(len(FIRST)), *range(SIZE - len(LAST), SIZE)]
    made["added_tokens"] = [
        {
            "id": i,
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": name
            not in ("<unk>", "<s>", "<|endoftext|>"),  # as in Phi-3: the newline after <|user|> is swallowed
            "normalized": False,
            "special": True,
        }
        for i, name in zip(ids, names, strict=True)
    ]
    return Tokenizer.from_str(json.dumps(made))


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a rendered prompt, with one PICTURE for each patch of each picture.

    What follows a picture is encoded by itself, as every runtime does: else the tokenizer would swallow the newline.
    """
    first, *others = (encoding.ids for encoding in tokenizer.encode_batch(TAG.split(text), add_special_tokens=False))
    return [*first, *(i for piece in others for i in (*picture(tokenizer), *piece))]


def picture(tokenizer: Tokenizer) -> list[int]:
    """The ids that stand for a picture."""
    return tokenizer.encode(PICTURE, add_special_tokens=False).ids * ACROSS**2


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<unk>",
        "padding_side": "left",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
