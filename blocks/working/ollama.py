"""Ollama: a non-empty answer from the model whose digest the catalogue names."""

from __future__ import annotations

from typing import Any

from blocks.working.scene import Broken, NotProven, Proof, Scene, answered, call, place_of
from compose.stack.catalogue import Model, full_name, hex_digest
from compose.stack.observed import Container
from compose.stack.round_trips import OllamaTrip
from compose.stack.verdicts import Mark


def round_trip(trip: OllamaTrip, container: Container, scene: Scene) -> list[Proof]:
    """Let the preferred model answer; prove by digest that it is that model.

    Raises:
        Broken: No model, another digest than the catalogue's, or an answer without text.
    """
    base = f"http://{place_of(container, trip.port)}"
    served = digests(answered(call("GET", f"{base}/api/tags", trip.within)))
    model = choose(trip, served, scene)
    identity = prove_digest(model, served[model.name])
    options = {"num_predict": trip.tokens, "temperature": 0, "seed": 1}
    body = {"model": model.name, "prompt": trip.prompt, "stream": False, "options": options}
    said = answered(call("POST", f"{base}/api/generate", trip.within, body=body))
    return [Proof(str(trip), spoken(said, model)), identity]


def digests(tags: dict[str, Any]) -> dict[str, str]:
    """The models that a server lists, with their digests."""
    entries = tags.get("models") or ()
    return {full_name(str(e.get("name") or e.get("model"))): hex_digest(e.get("digest")) or "" for e in entries}


def choose(trip: OllamaTrip, served: dict[str, str], scene: Scene) -> Model:
    """The model that has to answer.

    Raises:
        Broken: The stack is ours and serves none of its models.
        NotProven: Somebody else's server without any model.
    """
    wanted = [full_name(name) for name in trip.models] or [model.name for model in scene.catalogue.models]
    name = next((name for name in wanted if name in served), None)
    if name is None and (trip.models or scene.stack.hints.own):
        raise Broken(f"serves none of {', '.join(wanted)}")
    name = name or next(iter(sorted(served)), None)
    if name is None:
        raise NotProven("it serves no model")
    return scene.catalogue.named(name) or Model(name)


def prove_digest(model: Model, digest: str) -> Proof:
    """Whether the model is the one that the catalogue means.

    Raises:
        Broken: It is another one.
    """
    check = "model digest"
    if model.digest is None:
        return Proof(check, f"the catalogue records no digest of {model.name}", Mark.NOT_PROVEN)
    if model.digest != digest:
        raise Broken(f"{model.name} has digest {digest[:12]}, the catalogue names {model.digest[:12]}")
    return Proof(check, f"{model.name} is {digest[:12]}, as in the catalogue")


def spoken(said: dict[str, Any], model: Model) -> str:
    """The answer, as it is shown.

    Raises:
        Broken: There is no text in it, or no token.
    """
    text, tokens = str(said.get("response") or ""), int(said.get("eval_count") or 0)
    if not text.strip() or tokens < 1:
        raise Broken(f"{model.name} answered nothing ({tokens} tokens)")
    kind = "demonstration model " if model.demonstration else ""
    shown = " ".join(text.split())
    return f"{kind}{model.name}: {tokens} tokens: {shown[:60]}{'…' if len(shown) > 60 else ''}"
