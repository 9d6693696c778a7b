"""Pictures through the course server: the three official clients get the answer that the route gives."""

from contextlib import closing

import ollama
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.models import ImageContentItem, ImageUrl, TextContentItem, UserMessage
from azure.core.credentials import AzureKeyCredential

import utils
from utils import server
from utils.backends.images import data_url
from utils.pocket import NAMES, TAG
from utils.pocket.evaluate import held_out
from utils.pocket.pictures import png

MODEL = "pocket-phi-3.5-vision"
KINDS = ("colour", "word", "largest bar", "change")
pytestmark = pytest.mark.skipif(MODEL not in NAMES, reason="no model that sees has been trained yet")


@pytest.fixture(scope="module")
def served():
    with_pictures = server.start()
    yield with_pictures
    with_pictures.stop()


@pytest.fixture(scope="module")
def asked():
    """(files of the pictures, question, the route's own answer) of each kind."""
    backend = utils.connect("onnx", MODEL, mode="offline")
    made = []
    for turn in (held_out(kind, 1)[0].turns[0] for kind in KINDS):
        files = [png(picture.draw()) for picture in turn.pictures]
        text = TAG.sub("", turn.prompt).lstrip("\n")
        content = [*({"type": "image", "image": file} for file in files), {"type": "text", "text": text}]
        answer = utils.complete(backend, [{"role": "user", "content": content}], utils.Options(max_tokens=24))
        made.append((files, text, answer.text))
    backend.close()
    return made


def test_openai(served, asked):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="x") as client:
        for files, text, expected in asked:
            shown = [{"type": "image_url", "image_url": {"url": data_url(file)}} for file in files]
            content = [*shown, {"type": "text", "text": text}]
            messages = [{"role": "user", "content": content}]
            answer = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=24)
            assert answer.choices[0].message.content == expected
            assert answer.usage.prompt_tokens > 36 * len(files)


def test_azure(served, asked):
    with ChatCompletionsClient(served.url, AzureKeyCredential("x")) as client:
        for files, text, expected in asked:
            shown = [ImageContentItem(image_url=ImageUrl(url=data_url(file))) for file in files]
            message = UserMessage(content=[*shown, TextContentItem(text=text)])
            answer = client.complete(messages=[message], model=MODEL, temperature=0, max_tokens=24)
            assert answer.choices[0].message.content == expected


def test_ollama(served, asked):
    client = ollama.Client(served.url)
    for files, text, expected in asked:
        messages = [{"role": "user", "content": text, "images": files}]
        answer = client.chat(MODEL, messages, options={"temperature": 0, "num_predict": 24})
        assert answer.message.content == expected
    files, text, expected = asked[0]
    whole = client.generate(MODEL, text, images=files, options={"temperature": 0, "num_predict": 24})
    assert whole.response == expected
    assert "vision" in client.show(MODEL).capabilities


def test_a_model_that_cannot_see_says_so(served, asked):
    files, text, _ = asked[0]
    with pytest.raises(ollama.ResponseError, match="cannot look at pictures"):
        ollama.Client(served.url).chat("pocket-phi-3-mini", [{"role": "user", "content": text, "images": files}])


@pytest.mark.parametrize("route", ["ollama", "nim", "github-models", "foundry"])
def test_the_hosted_routes_send_pictures(asked, route):
    files, text, expected = asked[2]
    content = [*({"type": "image", "image": file} for file in files), {"type": "text", "text": text}]
    with closing(utils.connect(route, MODEL, mode="offline")) as backend:
        answer = utils.complete(backend, [{"role": "user", "content": content}], utils.Options(max_tokens=24))
        assert answer.text == expected and answer.source == "pocket"
