"""The commands that need the packages: ask, doctor, serve, ... `python -m utils` hands them on to `main`.

It reads arguments and prints. What an answer, a finding or a measurement is, other modules know.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from utils.backends import connect
from utils.core import Completion, Options, as_messages, complete
from utils.errors import BackendError, BadInput
from utils.pocket import export


def main(argv: list[str]) -> int:
    """Runs one command; returns the exit status: 0, 1 for an error, 2 for wrong arguments, 130 for Ctrl-C."""
    _speak_plainly()
    command = COMMANDS.get(argv[0] if argv else "")
    if command is None:
        print(f"usage: python -m utils {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        return 2
    try:
        return command(argv[1:])
    except BackendError as error:
        print("\n" * bool(error.partial) + str(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` for example, has gone; Python must not try to write at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"python -m utils {command}", description=description)


def _speak_plainly() -> None:
    """Progress goes to stderr; letters that the terminal lacks become '?' instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    export.say = _note


def _say(text: str) -> None:
    print(text, flush=True)


def _note(text: str) -> None:
    """Progress goes to whatever stderr is now."""
    print(text, file=sys.stderr, flush=True)


def _ask(argv: list[str]) -> int:
    parser = _parser("ask", "Put one question to a model and print its answer as it comes.")
    parser.add_argument("prompt", nargs="+")
    parser.add_argument("--route", default="onnx", help="onnx (default), transformers, ...")
    parser.add_argument("--model", help="a name, such as pocket-phi-3-mini or pocket-phi-3-mini:int4, or a folder")
    parser.add_argument("--mode", help="auto (default), offline or live")
    parser.add_argument("--max-tokens", type=int, default=128, metavar="N", help="length of the answer at most")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 (default): no chance involved")
    given = parser.parse_args(argv)
    options = Options(max_tokens=given.max_tokens, temperature=given.temperature)
    prompt = " ".join(given.prompt)
    as_messages(prompt)  # before seconds go into loading
    answer = complete(connect(given.route, given.model, mode=given.mode), prompt, options, on_text=_print)
    print(flush=True)
    print(_footer(answer), file=sys.stderr)
    return 0


def _print(text: str) -> None:
    """Without control characters: a model must not be able to steer the terminal."""
    print("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text), end="", flush=True)


def _footer(answer: Completion) -> str:
    facts = [f"{answer.tokens} tokens"] if answer.tokens is not None else []
    if not math.isnan(answer.first_token_s):
        facts.append(f"the first after {answer.first_token_s:.3f} s")
    if not math.isnan(answer.tokens_per_s):
        facts.append(f"then {answer.tokens_per_s:,.0f} tokens/s")
    if answer.finish_reason != "stop":
        facts.append("cut off at the token limit" if answer.finish_reason == "length" else "incomplete")
    return f"[{answer.badge}] {answer.model} on {answer.backend}: {', '.join(facts)}"


def _doctor(argv: list[str]) -> int:
    from utils.checkup import doctor

    parser = _parser("doctor", "Say what runs on this machine, and what would be needed for more.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args(argv)
    findings = doctor()
    if given.json:
        print(json.dumps([dataclasses.asdict(f) for f in findings], indent=2))
    else:
        print(findings)
    return int(any(f.status == "missing" for f in findings))


def _bench(argv: list[str]) -> int:
    from utils import bench

    parser = _parser("bench", "Measure speed, side by side with bare scripts.")
    parser.add_argument(
        "--pairs",
        type=int,
        default=9,
        metavar="N",
        help="pairs of runs (default 9; four times as many for the short ones)",
    )
    parser.add_argument("--json", metavar="FILE", help="write what was measured into this file as well")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        choices=bench.TOOLS,
        help="only compare our figure with what this tool's own method gives; may be given several times",
    )
    parser.add_argument("part", nargs="*", help=f"what to measure: {', '.join(bench.PARTS)} (default: all)")
    given = parser.parse_args(argv)
    if wrong := set(given.part) - set(bench.PARTS):
        parser.error(f"there is no part {wrong.pop()!r}; there are: {', '.join(bench.PARTS)}")
    if given.json:
        _write(given.json, "", "a")  # before minutes go into measuring; what the file holds may stay until then
    measured: list[bench.Row] = []
    for rows in bench.run(given.pairs, tuple(given.part) or bench.PARTS * (not given.against), tuple(given.against)):
        print(bench.as_table(rows), flush=True)
        measured += rows
        if given.json:
            _write(given.json, bench.as_json(measured) + "\n")
    return int(any(row.kept is False for row in measured))


def _write(file: str, text: str, how: Literal["a", "w"] = "w") -> None:
    try:
        with Path(file).open(how, encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}.") from None


def _fetch(argv: list[str]) -> int:
    from utils.backends.fetch import fetch

    parser = _parser("fetch", "Download a real model. It says how large it is first, and goes on where it stopped.")
    parser.add_argument("model", help="a name of the catalogue, such as phi-3.5-mini")
    parser.add_argument(
        "--for", dest="route", default="onnx", metavar="ROUTE", help="onnx (default), transformers, ..."
    )
    given = parser.parse_args(argv)
    fetch(given.model, given.route, _note)
    return 0


def _serve(argv: list[str]) -> int:
    import logging

    from utils.server import SLOTS, serve

    parser = _parser("serve", "Offer pocket models to OpenAI's, Azure's and Ollama's clients, until Ctrl-C.")
    parser.add_argument("--model", help="the model that answers by default, or a model folder to offer instead")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="listen here (default: this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="listen on this port (default 8000; 0: any)"
    )
    parser.add_argument("--route", default="onnx", help="the runtime that runs the models (default onnx)")
    parser.add_argument(
        "--key", help="a key that every client must send (where others can reach this machine: made up if not given)"
    )
    parser.add_argument(
        "--slots", type=int, default=SLOTS, metavar="N", help=f"answers at a time for each model ({SLOTS})"
    )
    parser.add_argument("--memory", type=float, metavar="GB", help="what loaded models may take (half the machine's)")
    parser.add_argument(
        "--cors",
        dest="origins",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web page's address that may ask",
    )
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    logging.getLogger("utils.server").setLevel(logging.INFO)
    serve(**vars(parser.parse_args(argv)), say=_say)
    return 0


def _rehearse(argv: list[str]) -> int:
    from utils.rehearse import rehearse
    from utils.rehearse.forms import FORMS

    parser = _parser("rehearse", "Measure what a real model would do here, on one of its shape with random weights.")
    parser.add_argument("model", nargs="?", default="phi-3.5-mini", help="a name of the catalogue (phi-3.5-mini)")
    forms = ", ".join(map(str, FORMS))
    parser.add_argument("--route", dest="form", default=str(FORMS[0]), metavar="FORM", help=f"one of: {forms}")
    parser.add_argument("--layers", type=int, metavar="N", help="estimate from models of N and of half as many layers")
    parser.add_argument("--keep", metavar="DIR", help="keep the model in this new or empty folder")
    given = parser.parse_args(argv)
    print(rehearse(given.model, given.form, layers=given.layers, keep=given.keep, say=_note))
    return 0


def _catalog(argv: list[str]) -> int:
    from utils.backends.drift import check

    parser = _parser("catalog", "Compare the catalogue with what the services offer today.")
    parser.add_argument("action", choices=["check"])
    parser.parse_args(argv)
    for route, model, state in check():
        print(f"{route:<15}{model:<20}{state}")
    return 0


def _pocket(argv: list[str]) -> int:
    from utils.pocket.cli import main as pocket

    return pocket(argv)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "ask": _ask,
    "doctor": _doctor,
    "fetch": _fetch,
    "serve": _serve,
    "rehearse": _rehearse,
    "catalog": _catalog,
    "bench": _bench,
    "pocket": _pocket,
}
