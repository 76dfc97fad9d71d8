"""Pages and websockets, at a service itself and through the proxy in front of it."""

from __future__ import annotations

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from blocks.working.scene import Broken, Proof, Scene, call, place_of
from compose.stack.observed import Container
from compose.stack.roles import Role, role_of
from compose.stack.round_trips import FrontendTrip, HttpTrip, port_of
from compose.stack.service import Stack

RERUN = b"\x5a\x00"
"""Streamlit's BackMsg with an empty `rerun_script` (field 11 of BackMsg.proto): the page's first message."""
EVERYWHERE = ("", "0.0.0.0", "::", "[::]")


def paths(trip: HttpTrip, container: Container) -> list[Proof]:
    """Fetch every path, and open the websocket if there is one.

    Raises:
        Broken: One of them answers otherwise than it must.
    """
    place = str(place_of(container, trip.port))
    said = [_fetch(place, path, trip) for path in trip.paths]
    if trip.websocket:
        said.append(_websocket(place, trip.websocket, trip.protocol, trip.within))
    return [Proof(str(trip), ", ".join(said))]


def frontend(trip: FrontendTrip, container: Container, scene: Scene) -> list[Proof]:
    """Load the page and let its script run over the websocket; the same through the proxy.

    Raises:
        Broken: One of them does not give the page, or its script does not answer.
    """
    places = {"itself": str(place_of(container, trip.port))}
    front = trip.through or _front(scene.stack)
    if front:
        places[front] = _entrance(scene, front)
    proofs = []
    for who, place in places.items():
        try:
            said = [_page(place, trip)]
            if trip.websocket:
                said.append(_websocket(place, trip.websocket, trip.protocol, trip.within))
        except Broken as error:
            raise Broken(str(error) if who == "itself" else f"through {who}: {error}") from None
        how = str(trip) if who == "itself" else f"{trip} through {who}"
        proofs.append(Proof(how, ", ".join(said) + ("" if who == "itself" else f" at {place}")))
    return proofs


def _front(stack: Stack) -> str:
    return next((name for name, service in stack.services.items() if role_of(service) is Role.NGINX), "")


def _entrance(scene: Scene, service: str) -> str:
    """Where people reach a service: its published port, else its own address."""
    if service not in scene.stack.services:
        raise Broken(f"{service}, which x-ops.verify names, is no service of this stack")
    inside = port_of(scene.stack, service)
    for port in scene.stack[service].ports:
        if port.target == inside and port.published:
            host = "127.0.0.1" if port.host_ip in EVERYWHERE else port.host_ip
            return f"[{host}]:{port.published}" if ":" in host else f"{host}:{port.published}"
    running = [container for container in scene.observed.of(service) if container.running]
    if not running:
        raise Broken(f"{service} does not run")
    return str(place_of(running[0], inside))


def _fetch(place: str, path: str, trip: HttpTrip) -> str:
    response = call("GET", f"http://{place}{path}", trip.within)
    status = response.status_code
    if not (status == trip.status if trip.status else 200 <= status < 400):
        raise Broken(f"GET {path} answered {status}")
    if trip.contains.lower() not in response.text.lower():
        raise Broken(f"GET {path} answered without {trip.contains!r}")
    return f"GET {path} answered {status}"


def _page(place: str, trip: FrontendTrip) -> str:
    response = call("GET", f"http://{place}{trip.path}", trip.within)
    if response.status_code != 200:
        raise Broken(f"GET {trip.path} answered {response.status_code}")
    if trip.contains.lower() not in response.text.lower():
        raise Broken(f"GET {trip.path} answered a page without {trip.contains!r}")
    return f"page of {len(response.content)} bytes"


def _websocket(place: str, path: str, protocol: str, within: float) -> str:
    """Upgrade as a browser on that page does; Streamlit's script must answer the page's first message.

    Raises:
        Broken: No upgrade, another subprotocol, or no message.
    """
    asked = [Subprotocol(protocol)] if protocol else None
    try:
        with connect(
            f"ws://{place}{path}",
            subprotocols=asked,
            origin=Origin(f"http://{place}"),
            open_timeout=within,
            close_timeout=1,
            proxy=None,
        ) as socket:
            if protocol and socket.subprotocol != protocol:
                raise Broken(f"websocket {path} speaks {socket.subprotocol}, not {protocol}")
            if protocol != "streamlit":
                return f"websocket {path} opened"
            socket.send(RERUN)
            message = socket.recv(timeout=within)
            return f"websocket opened, script answered {len(message)} bytes"
    except TimeoutError:
        raise Broken(f"websocket {path}: no message in {within:.0f} s") from None
    except (OSError, WebSocketException) as error:
        raise Broken(f"websocket {path}: {type(error).__name__}: {error}") from None
