"""The lines of input and result files, for the API's description alone: no call sends or takes them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.json_schema import models_json_schema

from pipelines.ndjson import MAX_TEXT_CHARACTERS
from serve_app.preview_schemas import ItemErrorBody, LabelScore

Id = str | int | float


class InputLine(BaseModel):
    """A line of the file that is uploaded. Other fields are allowed and ignored."""

    model_config = ConfigDict(extra="allow")

    text: str = Field(description=f"1 to {MAX_TEXT_CHARACTERS:,} characters.", examples=["I was charged twice"])
    id: Id | None = Field(None, examples=["msg-1001"])
    custom_id: Id | None = None


class _Answered(BaseModel):
    id: Id | None = Field(None, description="The input line's; left out where it has none.", examples=["msg-1001"])
    custom_id: Id | None = Field(None, description="The same.")


class ClassifyLine(_Answered, LabelScore):
    """The result line of an item in mode `single`."""

    tokens: int = Field(description="Of the text, as the model counts them.", examples=[14])


class TagLine(_Answered):
    """The result line of an item in mode `multi`."""

    labels: list[LabelScore] = Field(description="Best first; none where no label reaches the threshold.")
    tokens: int = Field(description="Of the text, as the model counts them.", examples=[14])


class ErrorLine(_Answered):
    """The result line of an item that cannot be classified, in either mode."""

    error: ItemErrorBody


class ResultLine(RootModel[ClassifyLine | TagLine | ErrorLine]):
    """A line of a result file; line N answers item N."""


def describe_lines(app: FastAPI) -> None:
    """Add the lines to what /openapi.json describes, so that generators of clients make types of them."""
    described = app.openapi

    def with_lines() -> dict[str, Any]:
        document = described()
        _, lines = models_json_schema(
            [(InputLine, "serialization"), (ResultLine, "serialization")], ref_template="#/components/schemas/{model}"
        )
        document["components"]["schemas"] |= lines["$defs"]
        return document

    app.openapi = with_lines  # type: ignore[method-assign]
