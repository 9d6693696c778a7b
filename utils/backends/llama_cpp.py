"""The route `llama.cpp`: llama.cpp's own server, in this process, on a loopback port with a key of its own.

It reads GGUF files; a Hugging Face folder of a Phi-3 model is written as GGUF on first use.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlparse

import gguf
import xllamacpp

from utils.backends import gguf_tokens, images
from utils.backends.local import LocalBackend, pictures, room
from utils.backends.schema import narrowed
from utils.backends.target import Target
from utils.core import Message, Options
from utils.errors import BackendError, BadInput, BadModel
from utils.pocket import TAG, export
from utils.values import count

SLOTS = 2  # answers at the same time
LONGEST = 8192  # tokens of context that are reserved at most: the 131,072 of Phi-3.5-mini would take 50 GB
WAIT = 120  # seconds for an answer's next token before it counts as lost


class LlamaCppBackend(LocalBackend):
    """A model loaded by llama.cpp, all of it on the processor."""

    name = "llama.cpp"

    def __init__(self, target: Target, *, slots: int = SLOTS) -> None:
        super().__init__(target)
        slots = count("slots", slots)
        self._file, self._eyes = file, eyes = _files(target)
        rooms = slots if target.source == "pocket" else 1  # others share one: theirs is large
        self._key = secrets.token_urlsafe(16)  # else any page in the learner's browser could ask the model
        try:
            context, self._ends = _facts(file)
            self.context = min(context, LONGEST)
            self._server: Any = xllamacpp.Server(_parameters(file, eyes, self._key, self.context * rooms, slots))
            self._address = urlparse(self._server.listening_address)
            self._marker = str(self._ask("/props")["media_marker"])  # random: no text can contain it by chance
            self._patches, self.sees = _patches(eyes), eyes is not None
            self._after = self._tokens("a")[-1]
            self._pieces: dict[int, str] = {}
            self._bytes: dict[int, bytes] | None = None  # what each token is, read when needed
            self._good: dict[str, Any] = {}  # the last schema that it was seen to follow
            # A first token warms up, and proves that the server has begun: one that is closed before it does hangs.
            self._ask("/completion", prompt=[0], n_predict=1)
        except (RuntimeError, OSError, ValueError, LookupError) as error:
            raise BadModel(f"{file} cannot be loaded: {str(error)[:200]}. Delete it and make it again.") from None

    @property
    def files(self) -> list[Path]:
        """The model's file, and the one of the part that sees; what else lies beside them was not loaded."""
        return [self._file, *([self._eyes] if self._eyes else [])]

    def _prompt(self, messages: Sequence[Message]) -> tuple[list[int], Any]:
        """With pictures: ids in which each takes as many -1 as it has patches, and what llama.cpp is sent instead."""
        text = self._chat(messages)
        shown = pictures(messages)
        if not shown:
            return self._tokens(text), None
        first, *others = map(self._tokens, TAG.split(text))
        ids = [*first, *(i for piece in others for i in (*[-1] * self._patches, *piece))]
        files = [base64.b64encode(images.png(picture)).decode() for picture in shown]
        return ids, {"prompt_string": TAG.sub(self._marker, text), "multimodal_data": files}

    def _render(self, conversation: list[dict[str, str]]) -> str:
        return str(self._ask("/apply-template", messages=conversation)["prompt"])

    def _tokens(self, text: str) -> list[int]:
        return cast(list[int], self._ask("/tokenize", content=text, add_special=False, parse_special=True)["tokens"])

    def _step(self) -> Callable[[int], str | None]:
        ids: list[int] = []
        told, complete = "", False  # the text so far, and whether it ends with a whole character

        def step(token: int) -> str | None:
            nonlocal told, complete
            ids.append(token)
            piece = self._piece(token) if complete else "\ufffd"
            if "\ufffd" in piece:  # the first token, or bytes of a character
                text = self._whole(ids)
                complete = not text.endswith("\ufffd")
                piece = text[len(told) :] if complete else ""
            told += piece
            return piece or None

        return step

    def _piece(self, token: int) -> str:
        """A token's text as it is after others; asking costs as much as making a token, so it is remembered."""
        if token not in self._pieces:
            before = self._whole([self._after])
            self._pieces[token] = self._whole([self._after, token]).removeprefix(before)
        return self._pieces[token]

    def _whole(self, ids: list[int]) -> str:
        return cast(str, self._ask("/detokenize", tokens=ids)["content"])

    def generate(
        self, ids: Sequence[int], options: Options, logprobs: list[float] | None = None, pictures: Any = None
    ) -> Iterator[int]:
        limit = room(self, ids, options)
        asked: dict[str, Any] = {"prompt": pictures or list(ids), "n_predict": limit, "cache_prompt": False}
        asked["ignore_eos"] = self.force_length
        asked |= {"temperature": 0.0, "samplers": ["temperature"], "seed": options.seed}
        if not options.greedy:
            asked |= {"temperature": options.temperature, "top_p": options.top_p, "samplers": ["temperature", "top_p"]}
        if options.schema is not None:
            asked["json_schema"] = self._followed(narrowed(options.schema))
        if logprobs is not None:
            asked["n_probs"] = 1
        connection, answer = self._open("/completion", asked | {"stream": True, "return_tokens": True})
        made: list[int] = []
        try:
            for line in answer:
                if line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    if event.get("stop"):
                        return
                    for token in self._told(event, [*ids, *made], len(made), options):
                        if logprobs is not None:  # told only of the tokens that end with a character
                            known = event["completion_probabilities"][-1]
                            logprobs.append(known["logprob"] if token == known["id"] else math.nan)
                        made.append(token)
                        yield token
                elif line.startswith(b"error: "):
                    raise BackendError(f"llama.cpp could not go on: {line[7:207].decode(errors='replace')}")
            raise BackendError("llama.cpp ended in the middle of its answer.")
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(f"llama.cpp could not go on: {str(error)[:200]}") from None
        finally:
            connection.close()  # before the end this makes the server stop

    def _followed(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema. Raises BadInput for one that llguidance rejects: llama.cpp would write freely, and not say so.

        It is asked for nothing but an "a", which no JSON begins with: whoever gets it is not held to a grammar."""
        if schema != self._good:
            only = {"temperature": 0.0, "samplers": ["temperature"], "logit_bias": [[self._after, 1000.0]]}
            found = self._ask("/completion", prompt=[0], n_predict=1, return_tokens=True, json_schema=schema, **only)
            if found["tokens"] == [self._after]:
                raise BadInput("The schema cannot be followed by llama.cpp. Use a simpler one, above all its patterns.")
            self._good = schema
        return schema

    def _told(self, event: dict[str, Any], ids: list[int], made: int, options: Options) -> list[int]:
        """The tokens since the event before, `made` in number until then, `ids` with the prompt.

        llama.cpp counts a token that ends within a character, but says nothing of it; with the character's last token
        it tells the text. The others are found by their bytes or, where these are no character, by asking again."""
        tokens: list[int] = event["tokens"]
        missing = event["tokens_predicted"] - made - len(tokens)
        if missing <= 0:
            return tokens
        if self._bytes is None:
            self._bytes = gguf_tokens.vocabulary(self._file)
        text: bytes = event["content"].encode()
        found = gguf_tokens.split(text.removesuffix(self._bytes[tokens[-1]]), missing, self._bytes)
        if not found and options.greedy:
            asked = {"prompt": ids, "n_predict": missing, "temperature": 0.0, "return_tokens": True}
            found = self._ask("/completion", **asked)["tokens"]
        return [*found, *tokens]

    def _ask(self, path: str, **body: Any) -> Any:
        connection, answer = self._open(path, body)
        try:
            return json.loads(answer.read())
        finally:
            connection.close()

    def _open(self, path: str, body: dict[str, Any]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        address = self._address
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=WAIT)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
        except OSError as error:
            connection.close()
            raise BackendError(f"llama.cpp does not answer: {error}") from None
        if answer.status != 200:
            said = answer.read(2000).decode(errors="replace")
            connection.close()
            raise BackendError(f"llama.cpp refused: {said[:200]}")
        return connection, answer

    def _free(self) -> None:
        self._server = None


def _files(target: Target) -> tuple[Path, Path | None]:
    """The model's file, and the one of the part that sees, which lies beside it if there is one."""
    if target.folder.is_file():
        return target.folder, None
    there = sorted(target.folder.glob("*.gguf"))
    if not there:
        there = sorted(export.made(target.folder, cast(export.Form, f"gguf-{target.precision}")).glob("*.gguf"))
    eyes = [file for file in there if file.name.startswith("mmproj")]
    return next(file for file in there if file not in eyes), next(iter(eyes), None)


def _patches(eyes: Path | None) -> int:
    """How many tokens a picture takes."""
    if eyes is None:
        return 0
    fields = gguf.GGUFReader(eyes).fields
    side, patch = (int(fields[f"clip.vision.{name}_size"].contents()) for name in ("image", "patch"))
    return (side // patch) ** 2


def _facts(file: Path) -> tuple[int, frozenset[int]]:
    """The length of the context, and the tokens that end an answer, as the file has them."""
    fields = gguf.GGUFReader(file).fields
    context = fields[f"{fields['general.architecture'].contents()}.context_length"].contents()
    ends = [fields.get(f"tokenizer.ggml.{end}_token_id") for end in ("eos", "eot", "eom")]
    return int(context), frozenset(int(end.contents()) for end in ends if end)


def _parameters(file: Path, eyes: Path | None, key: str, context: int, slots: int) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path, params.api_keys = str(file), [key]
    if eyes:
        params.mmproj.path, params.mmproj_use_gpu = str(eyes), False
    params.n_ctx, params.n_parallel, params.n_gpu_layers, params.kv_unified = context, slots, 0, True
    params.verbosity = -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    params.warmup = False
    return params


load = LlamaCppBackend  # what `connect` calls
