import dataclasses
import json

import pytest

from utils import Options, complete, connect, recordings
from utils.errors import BadInput, UnknownModel


@pytest.fixture(scope="module")
def answer():
    backend = connect("onnx", mode="offline")
    yield complete(backend, "What does SLM mean?", Options(max_tokens=20))
    backend.close()


def test_what_was_saved_comes_back_as_a_recording(tmp_path, answer):
    file = tmp_path / "answers.jsonl"
    recordings.save(file, "What does SLM mean?", answer)
    recordings.save(file, "Grüße\u2028你好", dataclasses.replace(answer, text="a\u2028b"), hardware="a laptop")
    first, second = recordings.load(file)
    assert first.completion == dataclasses.replace(answer, source="recorded")
    assert first.completion.badge == "RECORDED" and "RECORDED" in first._repr_markdown_()
    assert first.completion.tokens_per_s == answer.tokens_per_s
    assert (second.prompt, second.completion.text, second.hardware) == ("Grüße\u2028你好", "a\u2028b", "a laptop")
    assert first.hardware and len(first.date) == 10
    assert [json.loads(line)["answered_as"] for line in file.read_text().split("\n")[:2]] == ["pocket", "pocket"]


def test_a_recording_is_played_again_as_slowly_as_it_came(tmp_path, answer):
    file, slow = tmp_path / "answers.jsonl", tuple(0.1 + 0.02 * n for n in range(len(answer.arrivals)))
    recordings.save(file, "What does SLM mean?", dataclasses.replace(answer, arrivals=slow, model="x"))
    recordings.save(file, "Who?", dataclasses.replace(answer, text="", arrivals=()))
    backend, pieces = recordings.Replay(file, "x"), []
    shown = complete(backend, "What does SLM mean?", on_text=pieces.append)
    assert (shown.text, shown.tokens, shown.finish_reason) == (answer.text, answer.tokens, answer.finish_reason)
    assert (shown.badge, shown.model, shown.backend) == ("RECORDED", "x", "onnx")
    assert len(pieces) == len(slow) and shown.head == answer.head
    assert all(there >= here for here, there in zip(slow, shown.arrivals, strict=True))
    with pytest.raises(BadInput, match=r"was not recorded\. There are: 'What does SLM mean\?'\."):
        complete(backend, "Who?")
    assert complete(recordings.Replay(file, answer.model), "Who?").text == ""
    with pytest.raises(UnknownModel, match="no recording of y"):
        recordings.Replay(file, "y")


def test_a_recording_is_not_recorded_again(tmp_path, answer):
    with pytest.raises(BadInput, match="is a recording already"):
        recordings.save(tmp_path / "x", "x", dataclasses.replace(answer, source="recorded"))


@pytest.mark.parametrize("line", ["{}", "no json", "[]", '{"prompt": "x", "arrivals": 5}'])
def test_a_damaged_line_is_named(tmp_path, line):
    file = tmp_path / "answers.jsonl"
    file.write_text(f"\n{line}\n")
    with pytest.raises(BadInput, match=r"answers\.jsonl, line 2 is no recording: "):
        recordings.load(file)


def test_a_file_that_cannot_be_read_or_written(tmp_path, answer):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        recordings.load(tmp_path / "nothing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="cannot be read: it is not text"):
        recordings.load(tmp_path / "binary")
    with pytest.raises(BadInput, match="cannot be written"):
        recordings.save(tmp_path / "no" / "where", "x", answer)
