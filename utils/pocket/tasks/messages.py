"""Messages to data: bookings, entities and tool calls as JSON. `json.dumps` writes every answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ..grammar import SLOT, Document, load, reserve
from . import Turn
from .exchange import as_typed, capital

DIETS = ("vegetarian", "vegan", "no nuts", "no milk", "gluten-free")
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def booking(document: Document) -> Turn:
    """A radio message with a booking, as a JSON record."""
    messages = document.use("messages")
    guests, nights = document.rng.randint(2, 9), document.rng.randint(2, 7)
    record: dict[str, Any] = {
        "name": f"{document.slot('guest')} {document.slot('surname')}",
        "guests": guests,
        "nights": nights,
        "date": document.slot("date"),
        "diet": "none",
    }
    document.slots.update(fullname=record["name"], guests=_written(document, guests), nights=_written(document, nights))
    templates = messages["booking_no_diet"]
    if document.chance(0.5):
        record["diet"] = document.slots["diet"] = document.choice(DIETS)
        templates = messages["booking_diet"]
    if not document.held_out and document.chance(0.5):
        message = _composed(document, messages, "diet" in document.slots)
    else:
        message = document.expand(document.phrasing(templates))
    for _ in range(document.choice([0, 0, 1, 2])):
        noise = document.expand(document.choice(messages["booking_noise"]))
        message = f"{noise} {message}" if document.chance(0.5) else f"{message} {noise}"
    return Turn("booking", document.frame(messages["booking_prompts"], message=message), json.dumps(record))


def _composed(document: Document, messages: dict[str, Any], diet: bool) -> str:
    """A booking in pieces of any order: whole messages alone do not teach which words say what."""
    kinds = ["name", "guests", "nights", "date", *(["food"] if diet else [])]
    document.rng.shuffle(kinds)
    joints = [document.choice(["{}. ", "{}, "]), document.choice(["{}. ", "{}, ", "{}; ", "{} ", "{} / ", "{}\n"])]
    message = document.expand(document.choice(messages["booking_head"])) if document.chance(0.4) else ""
    for kind in kinds:
        piece = document.expand(document.choice(messages[f"booking_{kind}"]))
        starts = kind != "food" and (not message or message.rstrip(" \n")[-1] in ".:!?")
        message += document.choice(joints).format(capital(piece) if starts else piece)
    return message.rstrip(" \n,;/.") + str(document.choice([".", "", "."]))


def _written(document: Document, number: int) -> str:
    return WORDS[number] if document.chance(0.4) else str(number)


def entities(document: Document) -> Turn:
    """The people, places and dates named in a short text, in the order in which they are named."""
    messages = document.use("messages")
    sentences = document.rng.sample(messages["entity"], document.choice([1, 1, 2]))
    text = " ".join(document.expand(sentence) for sentence in sentences)
    found = {
        key: _in_order(text, [v for k, v in document.slots.items() if k.rstrip("0123456789") == slot])
        for key, slot in {"people": "guest", "places": "place", "dates": "date"}.items()
    }
    return Turn("entities", document.frame(messages["entity_prompts"], text=text), json.dumps(found))


def _in_order(text: str, values: list[str]) -> list[str]:
    return sorted((value for value in values if value in text), key=text.index)


def tool_call(document: Document, more: bool = False) -> Turn:
    """Two to four tools and a few requests, each answered by one JSON call; or by "none" when no tool fits.

    With `more` they are asked in the wordings of `more.toml` too, which only the larger model is taught."""
    messages = document.use("messages")
    offered = document.rng.sample(messages["tool"], document.rng.randint(2, 4))
    lines = "\n".join(f"{t['name']}({', '.join(t['args'])}): {t['description']}" for t in offered)
    count = document.rng.randint(2, 4)
    first, *then = [_request(Document(document.rng, document.held_out), offered, more) for _ in range(count)]
    return replace(first, system=document.frame(messages["tool_prompts"], tools=lines), then=tuple(then))


def _request(document: Document, offered: list[dict[str, Any]], more: bool) -> Turn:
    messages, others = document.use("messages"), load("more")["tools"] if more else {}
    if document.chance(0.12):
        return Turn("tool call", document.expand(_wording(document, messages["no_tool"], others.get("none"))), "none")
    tool = document.choice(offered)
    request = document.expand(_wording(document, tool["requests"], others.get(tool["name"])))
    values = [document.slot(*_split(slot)) for slot in tool["slots"]]
    arguments = {arg: int(v) if v.isdigit() else v for arg, v in zip(tool["args"], values, strict=True)}
    return Turn("tool call", request, json.dumps({"tool": tool["name"], "arguments": arguments}))


def _wording(document: Document, requests: list[str], others: list[str] | None) -> str:
    """One of the requests that this split may use; where there are `others` in training, of all, as people type."""
    if not others:
        return str(document.phrasing(requests))
    wording = str(document.choice(others if document.chance(0.6) else reserve(requests, held_out=False)))
    typed = as_typed(document, wording)
    return typed if SLOT.findall(typed) == SLOT.findall(wording) else wording  # what is asked for must be left


def _split(slot: str) -> tuple[str, str]:
    name = slot.rstrip("0123456789")
    return name, slot[len(name) :]
