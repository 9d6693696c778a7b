"""Conversations as padded batches of token ids: endless, seeded, and the same from any starting point.

Only replies (and plain text) are learned; prompts are read but carry no loss. What decides a reply counts most: else
the one word of a sentiment would drown among stories, and a booking's numbers among its brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer

from . import TAG
from .dialogue import Conversation, conversation
from .pictures import Picture
from .tokenizer import picture

SHARD = 8192  # conversations that are generated, sorted by length and cut into batches at a time
SEEDS = 10**10  # conversations a training seed has for itself
DRILLS = (  # shares of copy drills and of other drills in each shard, the last also in all after it
    *[(0.6, 0.1)] * 2,  # first of all copying: only a model that can copy can quote, look up or correct
    (0.3, 0.3),
    (0.15, 0.45),
    (0.1, 0.4),
    (0.05, 0.3),
    (0.04, 0.16),
)
SMALL = 8  # in the first shards batches are half as large: after 0.4 M tokens the loss was 3.7, not 4.3 (one run each)
LETTER = 4  # how much it counts to name a letter: of all patches that are named only one in twenty has one
IGNORED = -100
ATOMS = re.compile(r'"(?:[^"\\]|\\.)*"(:?)|\d+|[][]')  # in JSON: key and colon, text, number, list
FOLLOWS = 0.1  # how much JSON's keys and punctuation count
FALLS = 0.5  # the power of the position with which the weight falls
Encoded = tuple[list[int], list[float], tuple[Picture, ...]]


@dataclass(frozen=True)
class Batch:
    """`ids` and `labels`: [sequences, length] int64; `labels` are the next tokens, -100 where nothing is learned.
    `weights`: [sequences, length] float32, how much each label counts. `pictures`: of all sequences, in order."""

    ids: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    pictures: tuple[Picture, ...] = ()


def segments(made: Conversation) -> list[tuple[str, str, float | None]]:
    """(special token before, text, how its weight falls) for each part of a conversation, as the chat template renders
    it; None where nothing is learned."""
    if not made.turns[0].prompt:
        return [("", made.turns[0].reply, FALLS)]
    parts: list[tuple[str, str, float | None]] = [("<|system|>", made.system, None)] if made.system else []
    for turn in made.turns:
        falls = 0.0 if turn.task.startswith("translation ") else FALLS  # there the last word is as open as the first
        parts += [("<|user|>", turn.prompt, None), ("<|assistant|>", turn.reply, falls)]
    return parts


def encode(tokenizer: Tokenizer, conversations: list[Conversation]) -> list[Encoded]:
    """(ids, weight of each id as a label, pictures) of each conversation; the weight is 0 where nothing is learned."""
    all_parts = [segments(made) for made in conversations]
    flat = [piece for parts in all_parts for before, text, _ in parts for piece in _pieces(before, text)]
    encoded = iter(zip(flat, tokenizer.encode_batch(flat, add_special_tokens=False), strict=True))
    patches = picture(tokenizer)
    special: dict[str, int] = {t.content: i for i, t in tokenizer.get_added_tokens_decoder().items()}
    result = []
    for made, parts in zip(conversations, all_parts, strict=True):
        ids: list[int] = []
        weights: list[float] = []
        for before, whole, falls in parts:
            text, pieces = next(encoded)
            end = special["<|end|>" if before else "<|endoftext|>"]
            inner = pieces.ids
            for _ in TAG.findall(whole):
                inner = [*inner, *patches, *next(encoded)[1].ids]
            ids += [*([special[before]] if before else []), *inner, end]
            weights += [0.0] * bool(before) + (
                [0.0] * (len(inner) + 1) if falls is None else _weights(text, pieces, falls)
            )
        result.append((ids, weights, made.turns[0].pictures))
    return result


def _pieces(before: str, text: str) -> list[str]:
    """The text around the pictures. Special tokens swallow the white space after them; pictures do not."""
    first, *others = TAG.split(text)
    return [first.lstrip() if before else first, *others]


def _weights(text: str, pieces: Encoding, falls: float) -> list[float]:
    """How much each token of a reply counts, and the end after it.

    The first words decide which answer it is, the rest mostly follows: the weight falls with the position. But in JSON
    each value is decided for itself, and only what stands between them follows.
    """
    if not text.startswith("{"):
        return [(i + 1) ** -falls for i in range(len(pieces.ids) + 1)]
    values = [match.span() for match in ATOMS.finditer(text) if not match[1]]
    counts = [any(start < end_ and begin < end for begin, end_ in values) for start, end in pieces.offsets]
    return [1.0 if counted or not i else FOLLOWS for i, counted in enumerate([*counts, False])]


def shard(tokenizer: Tokenizer, number: int, tokens: int, seed: int, limit: int, mix: str = "english") -> list[Batch]:
    """The batches of shard `number`, each of about `tokens` tokens, in random order; longer sequences are left out."""
    first = seed * SEEDS + number * SHARD
    drills = DRILLS[min(number, len(DRILLS) - 1)]
    pairs = encode(tokenizer, [conversation(first + i, drills, mix) for i in range(SHARD)])
    pairs = sorted((pair for pair in pairs if len(pair[0]) <= limit), key=lambda pair: len(pair[0]))
    batches: list[Batch] = []
    group: list[Encoded] = []
    for pair in pairs:
        if group and (len(group) + 1) * len(pair[0]) > tokens:
            batches.append(_batch(group))
            group = []
        group.append(pair)
    batches.append(_batch(group))
    order = np.random.default_rng(first).permutation(len(batches))
    return [batches[i] for i in order]


def _batch(group: list[Encoded]) -> Batch:
    length = max(len(ids) for ids, _, _ in group)
    ids = torch.zeros(len(group), length, dtype=torch.long)
    labels = torch.full((len(group), length), IGNORED)
    weights = torch.zeros(len(group), length)
    for row, (sequence, weight, _) in enumerate(group):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        weights[row, : len(sequence) - 1] = torch.tensor(weight[1:])
        labels[row, : len(sequence) - 1] = torch.tensor(sequence[1:])
    labels[weights == 0] = IGNORED
    return Batch(ids, labels, weights, tuple(shown for _, _, pictures in group for shown in pictures))


def names(tokenizer: Tokenizer, pictures: Sequence[Picture]) -> torch.Tensor:
    """What is on each patch of the pictures, as pairs (patch, token id), a letter's LETTER times: [pairs, 2] int64."""
    patches = [words for shown in pictures for words in shown.named()]
    return torch.tensor(
        [
            (i, _first_id(tokenizer, word))
            for i, words in enumerate(patches)
            for word in words
            for _ in range(LETTER if len(word) == 1 else 1)
        ]
    )


def _first_id(tokenizer: Tokenizer, word: str) -> int:
    """The id of a letter, or of the beginning of a word within a sentence."""
    return int(tokenizer.encode(word if len(word) == 1 else f" {word}", add_special_tokens=False).ids[0])


def pixels(pictures: Sequence[Picture]) -> torch.Tensor:
    """The pictures as the model sees them: [pictures, 3, SIDE, SIDE], from -1 to 1."""
    drawn = np.stack([np.asarray(shown.draw()) for shown in pictures])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1


def stream(
    tokenizer: Tokenizer, tokens: int, seed: int, limit: int, start: tuple[int, int] = (0, 0), mix: str = "english"
) -> Iterator[tuple[tuple[int, int], Batch]]:
    """Batches for ever, each with the position (shard, batch) that comes after it."""

    def make(number: int) -> list[Batch]:
        return shard(tokenizer, number, tokens // 2 if number < SMALL else tokens, seed, limit, mix)

    number, skip = start
    with ThreadPoolExecutor(1) as thread:  # the next shard is made meanwhile: three seconds for every two minutes
        coming = thread.submit(make, number)
        while True:
            made = coming.result()
            for i in range(skip, len(made)):
                if i == max(skip, len(made) // 2):  # not at once: most trials end before
                    coming = thread.submit(make, number + 1)
                yield ((number, i + 1) if i + 1 < len(made) else (number + 1, 0)), made[i]
            number, skip = number + 1, 0
