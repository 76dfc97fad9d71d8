"""What clients of the API send."""

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, Field, model_validator

SAID = AliasChoices("message", "prompt", "query", "description", "task", "input")
STORE = Literal["chromadb", "qdrant", "faiss", "neo4j"]
COLLECTION = r"^[a-zA-Z0-9][a-zA-Z0-9._-]{1,126}[a-zA-Z0-9]$"


class Turn(BaseModel):
    """An earlier message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=100_000)


class Prompt(BaseModel):
    """Something for a model; its text may be called message, prompt, query, description, task or input."""

    message: str = Field(min_length=1, max_length=100_000, validation_alias=SAID)
    model: str = Field(default="", max_length=200)
    max_tokens: int = Field(default=0, ge=0, le=4096, description="0: the backend's default")
    temperature: float | None = Field(default=None, ge=0, le=2)
    history: list[Turn] = Field(default_factory=list, max_length=100)

    def options(self, default_tokens: int) -> dict[str, Any]:
        """Return the model server's options."""
        options: dict[str, Any] = {"num_predict": self.max_tokens or default_tokens}
        if self.temperature is not None:
            options["temperature"] = self.temperature
        return options


class Execution(BaseModel):
    """A task for the coordinator; `wait` in seconds for its end."""

    message: str = Field(min_length=1, max_length=100_000, validation_alias=SAID)
    agent: str = Field(default="", max_length=100)
    model: str = Field(default="", max_length=200)
    max_tokens: int = Field(default=0, ge=0, le=4096)
    wait: float = Field(default=55, ge=0, le=60)


class Pull(BaseModel):
    """A model to get."""

    model: str = Field(min_length=1, max_length=200, validation_alias=AliasChoices("model", "name"))
    insecure: bool = False
    stream: bool = False


class Embedding(BaseModel):
    """Texts to be turned into vectors."""

    input: str | list[str] = Field(min_length=1, validation_alias=AliasChoices("input", "text", "texts", "prompt"))
    model: str = Field(default="", max_length=200)

    @property
    def texts(self) -> list[str]:
        """The texts as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class Documents(BaseModel):
    """Documents to keep; vectors are made by the model unless the client brings them."""

    documents: list[str] = Field(min_length=1, max_length=500)
    ids: list[str] | None = None
    metadatas: list[dict[str, Any] | None] | None = None
    embeddings: list[list[float]] | None = None
    collection: str = Field(default="knowledge", pattern=COLLECTION)
    store: STORE = "chromadb"
    model: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def as_many(self) -> "Documents":
        """Refuse columns of different lengths."""
        for name in ("ids", "metadatas", "embeddings"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.documents):
                raise ValueError(f"{len(column)} {name} for {len(self.documents)} documents")
        return self


class Search(BaseModel):
    """A text, or a vector of the client's own, to find neighbours of."""

    query: str = Field(default="", max_length=100_000, validation_alias=AliasChoices("query", "text"))
    embedding: list[float] | None = None
    limit: int = Field(default=5, ge=1, le=100, validation_alias=AliasChoices("limit", "n_results", "top_k", "k"))
    collection: str = Field(default="knowledge", pattern=COLLECTION)
    store: STORE = "chromadb"
    model: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def something(self) -> "Search":
        """Refuse a search for nothing."""
        if not self.query and not self.embedding:
            raise ValueError("query or embedding is needed")
        return self


class NewWorkflow(BaseModel):
    """A named list of prompts, each a task of the coordinator."""

    name: str = Field(min_length=1, max_length=200)
    steps: list[str] = Field(min_length=1, max_length=50)
    agent: str = Field(default="", max_length=100)
