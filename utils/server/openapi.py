"""`/openapi.json`: the course server's addresses and what their requests must look like, as OpenAPI 3.1 has it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from utils.server import ollama_library, ollama_requests, openai_requests, vectors
from utils.server.wire import Body

BODIES: dict[str, type[Body]] = {
    "/v1/chat/completions": openai_requests.Chat,
    "/v1/completions": openai_requests.Continue,
    "/v1/embeddings": vectors.Vectors,
    "/chat/completions": openai_requests.Chat,
    "/embeddings": vectors.Vectors,
    "/api/chat": ollama_requests.Chat,
    "/api/generate": ollama_requests.Generate,
    "/api/embed": vectors.Vectors,
    "/api/embeddings": vectors.Text,
    "/api/show": ollama_library.Named,
    "/api/create": ollama_library.Create,
    "/api/copy": ollama_library.Copy,
    "/api/pull": ollama_library.Named,
    "/api/delete": ollama_library.Named,
}
AZURES = ("/chat/completions", "/embeddings", "/info")  # whose clients send the version that they speak
ANSWERS = {"200": "The answer", "4XX": "What is wrong with the request, in the wire format's own shape"}


def description(routes: Mapping[str, Mapping[str, Callable[..., Any]]]) -> dict[str, Any]:
    """The document. `routes`: method -> path -> handler, whose docstring says what it does."""
    kinds = sorted(set(BODIES.values()), key=lambda kind: f"{kind.__module__}.{kind.__name__}")
    schemas, definitions = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for method, rows in routes.items():
        for path, handler in rows.items():
            operation: dict[str, Any] = {
                "summary": (inspect.getdoc(handler) or "").partition("\n")[0],
                "responses": {code: {"description": text} for code, text in ANSWERS.items()},
            }
            if path in BODIES:
                content = {"application/json": {"schema": schemas[BODIES[path], "validation"]}}
                operation["requestBody"] = {"required": True, "content": content}
            name = path.replace(":path}", "}")
            if "{" in path:
                operation["parameters"] = [_parameter("name", "path")]
            elif path in AZURES:
                operation["parameters"] = [_parameter("api-version", "query")]
            if path == "/health":
                operation["security"] = []
            paths.setdefault(name, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pocket Phi's course server", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
        },
        "security": [{"bearer": []}, {"api-key": []}, {}],  # none where the server was started without a key
    }


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
