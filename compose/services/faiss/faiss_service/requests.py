"""Bodies of requests."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from faiss_service.records import NAME

Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Vector = Annotated[list[FiniteFloat], Field(min_length=1, max_length=65536)]
Vectors = Annotated[list[Vector], Field(min_length=1, max_length=10_000)]


class Body(BaseModel):
    """Base: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Creation(Body):
    """An index to make."""

    index: Name
    dimension: int = Field(ge=1, le=65536)
    metric: Literal["l2", "ip", "cosine"] = "l2"


class Addition(Body):
    """Vectors to add; ids are the client's own, or the next free ones."""

    index: Name
    vectors: Vectors
    ids: list[Annotated[int, Field(ge=0, lt=2**63)]] | None = None


class Search(Body):
    """Vectors whose nearest neighbours are asked for."""

    index: Name
    vectors: Vectors
    k: int = Field(default=10, ge=1, le=1000)
