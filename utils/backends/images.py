"""Pictures on their way to a model: from bytes, a file or a data URL to base64; and which routes take none."""

from __future__ import annotations

import base64
import binascii
import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

from utils.errors import BadInput, Unsupported

KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


def read(image: Any) -> bytes:
    """The picture's bytes, from bytes, a file name or a data URL. Raises BadInput."""
    if isinstance(image, str) and image.startswith("data:"):
        try:
            return base64.b64decode(image.partition(",")[2], validate=True)
        except binascii.Error:
            raise BadInput("The picture's data URL is damaged: it holds no base64.") from None
    if isinstance(image, str | os.PathLike):
        try:
            return Path(image).read_bytes()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not a file name"
            raise BadInput(f"The picture {str(image)!r:.200} cannot be read: {why}.") from None
    if not isinstance(image, bytes):
        raise BadInput(f"A picture is bytes, a file name or a data URL, not {image!r:.60}.")
    return image


def opened(data: bytes) -> Any:
    """The picture as Pillow has it, in RGB; what is transparent becomes white. Raises BadInput."""
    from PIL import Image, UnidentifiedImageError  # here: services are sent the file as it is

    try:
        picture = Image.open(BytesIO(data)).convert("RGBA")
    except UnidentifiedImageError:  # whose own words hold the bytes' place in memory
        raise BadInput("This is no picture that can be read. Use PNG, JPEG, GIF, WebP or BMP.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"The picture cannot be opened: {str(error)[:100] or type(error).__name__}.") from None
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def png(data: bytes) -> bytes:
    """The same picture in RGB, in a file of the format PNG. Raises BadInput."""
    from utils.pocket.pictures import png as written  # here: see above

    return written(opened(data))


def data_url(image: Any, limit: int | None = None) -> str:
    """The picture as a data URL of at most `limit` characters. Raises BadInput."""
    data = read(image)
    kind = next((kind for start, kind in KINDS.items() if data.startswith(start)), None)
    if kind is None:
        raise BadInput("The picture is of no known kind. Use PNG, JPEG, GIF, WebP or BMP.")
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    if limit is not None and len(url) > limit:
        raise BadInput(
            f"The picture takes {len(url):,} characters, but this service takes {limit:,}. Make it smaller before "
            "sending, for example half as wide."
        )
    return url


def refuse_seeing(folder: Path, route: str) -> None:
    """For a route that has no models that see. Raises Unsupported when the one in `folder` is such a model."""
    file = folder / "config.json"
    if file.is_file() and "vision_config" in json.loads(file.read_bytes()):
        raise Unsupported(f"{folder.name} sees, and the route {route} has no such models. Use onnx or llama.cpp.")
