"""`python -m utils pocket ...`: look at the corpus, train, score, write model cards and the table, export."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..catalog import cache_folder
from . import FAMILY, NAMES, export, folder, home


def main(argv: list[str]) -> int:
    """Run one `pocket` command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m utils pocket", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tokenizer", help="train the family's tokenizer anew (every model then needs training anew)")
    sample = commands.add_parser("sample", help="print conversations of the corpus")
    sample.add_argument("task", nargs="?", help="only this task")
    sample.add_argument("-n", type=int, default=5, help="how many")
    for name, text in (
        ("train", "train a model; goes on from its checkpoint"),
        ("eval", "score a model on held-out documents"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("model", choices=FAMILY if name == "train" else NAMES)
        command.add_argument("--out", type=Path, help="folder of the model; default: the one in the repository")
        if name == "train":
            command.add_argument("--steps", type=int, help="fewer steps, for trying things out")
            command.add_argument("--restart", action="store_true", help="forget the checkpoint")
        else:
            command.add_argument("-n", type=int, default=1000, help="held-out documents for each task")
            command.add_argument("--task", help="only this one; it may be one that the model was not taught")
            command.add_argument("--wrong", action="store_true", help="print the wrong answers")
    command = commands.add_parser("export", help="write a model in the form that another runtime reads")
    command.add_argument("model", help="a pocket model's name, or a folder with a model of your own")
    command.add_argument("--to", choices=export.FORMS, required=True, metavar="FORM", help=", ".join(export.FORMS))
    command.add_argument("target", type=Path, metavar="FOLDER", help="a new or empty folder")
    commands.add_parser("table", help="measure the family and write its table into utils/pocket/README.md")
    options = parser.parse_args(argv)
    run = {
        "tokenizer": _tokenizer,
        "sample": _sample,
        "train": _train,
        "eval": _evaluate,
        "export": _export,
        "table": _table,
    }
    try:
        return run[options.command](options)
    except KeyboardInterrupt:
        return 130


def _tokenizer(options: argparse.Namespace) -> int:
    from .tokenizer import corpus, save, train

    made = train(corpus())
    for name in NAMES or FAMILY[:1]:
        home(name).mkdir(parents=True, exist_ok=True)
        save(made, home(name))
    print(f"{made.get_vocab_size()} tokens. Models trained with another tokenizer must be trained again.")
    return 0


def _sample(options: argparse.Namespace) -> int:
    from .dialogue import TASKS, conversation
    from .evaluate import held_out

    if options.task is not None and options.task not in TASKS:
        print(f"There is no task {options.task!r}. There are: {', '.join(TASKS)}.")
        return 2
    made = held_out(options.task, options.n) if options.task else [conversation(seed) for seed in range(options.n)]
    for one in made:
        print("-" * 80)
        print(f"system:    {one.system}\n" if one.system else "", end="")
        for turn in one.turns:
            print(f"user:      {turn.prompt}\nassistant: {turn.reply}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from tokenizers import Tokenizer

    from .card import COUNT, TRIAL, write_card
    from .recipes import RECIPES, Recipe
    from .saving import write
    from .train import Run, train

    out = options.out or home(options.model)
    recipe = RECIPES[options.model]
    if options.steps:
        recipe = replace(recipe, steps=options.steps, last=0, looking=recipe.looking and options.steps // 4)
    file = home(FAMILY[0]) / "tokenizer.json"
    if not file.exists():
        print("The tokenizer is missing. Make it with: python -m utils pocket tokenizer")
        return 2
    tokenizer = Tokenizer.from_file(str(file))

    def trained(recipe: Recipe) -> Run:
        work = cache_folder() / "training" / f"{recipe.name}-{recipe.steps}"
        if options.restart:
            (work / "checkpoint.pt").unlink(missing_ok=True)
        return train(recipe, tokenizer, work)

    run = trained(recipe)
    beside = trained(recipe.beside()) if recipe.twin else None
    out.mkdir(parents=True, exist_ok=True)
    write(run, out)
    write_card(run, tokenizer, out, TRIAL if options.steps else COUNT, beside)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from tokenizers import Tokenizer

    from .evaluate import answers, interval, load, scored, tasks
    from .packed import unpacked
    from .recipes import RECIPES

    if options.task is not None and options.task not in tasks():
        print(f"There is no task {options.task!r}. There are: {', '.join(tasks())}.")
        return 2
    there = unpacked(options.out) if options.out else folder(options.model)
    model = load(there)
    tokenizer = Tokenizer.from_file(str(there / "tokenizer.json"))
    for task in [options.task] if options.task else scored(RECIPES[options.model].mix):
        given = answers(model, tokenizer, task, options.n)
        share = sum(a.right for a in given) / len(given)
        low, high = interval(share, len(given))
        print(f"{task:21} {share:6.1%}   (95 %: {low:.1%} to {high:.1%})", flush=True)
        for answer in (a for a in given if options.wrong and not a.right):
            turn = answer.conversation.turns[-1]
            print(f"    asked:  {turn.prompt!r}\n    wanted: {turn.reply!r}\n    got:    {answer.text!r}")
    return 0


def _export(options: argparse.Namespace) -> int:
    source = folder(options.model) if options.model in NAMES else Path(options.model)
    export.copy(source, options.to, options.target)
    print(f"{source.name} as {options.to} is in {options.target}.")
    return 0


def _table(options: argparse.Namespace) -> int:
    from ..bench import family

    family.compare_experts()
    family.write(family.measure())
    print(f"Written: {family.README}")
    return 0
