"""What is saved, how, and what stands against a backup: decided from the file and from what is really there."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from compose.stack.backup.component import Kind, Manner
from compose.stack.backup.facts import Bind, Facts, parse_found
from compose.stack.backup.inventory import Inventory, configuration_binds, data_binds, take_inventory
from compose.stack.backup.layers import topmost
from compose.stack.backup.naming import safe
from compose.stack.backup.writers import writers
from compose.stack.errors import Refused
from compose.stack.observed import CONFIG_HASH, PROJECT, SERVICE
from compose.stack.preflight.images import Image
from compose.stack.service import Stack, parse_stack

ANONYMOUS = "a" * 64


def stack_of(text: str) -> Stack:
    """A rendered file."""
    return parse_stack({"name": "shop", **yaml.safe_load(text)})


def container(service: str, mounts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """What the engine says of a container."""
    return {
        "Id": f"id-{service}",
        "Name": f"/shop-{service}-1",
        "Config": {
            "Image": more.get("image", service),
            "Labels": {PROJECT: "shop", SERVICE: service, CONFIG_HASH: "x"},
        },
        "State": {"Status": more.get("state", "running")},
        "HostConfig": {"ReadonlyRootfs": more.get("read_only", False), "Tmpfs": more.get("tmpfs")},
        "Mounts": mounts,
    }


def volume(name: str, target: str, rw: bool = True) -> dict[str, Any]:
    """One volume mount."""
    return {
        "Type": "volume",
        "Name": name,
        "Source": f"/var/lib/docker/volumes/{name}/_data",
        "Destination": target,
        "RW": rw,
    }


def bind(source: str, target: str, rw: bool = True) -> dict[str, Any]:
    """One bind mount."""
    return {"Type": "bind", "Source": source, "Destination": target, "RW": rw}


def facts_of(*containers: dict[str, Any], changes: dict[str, list[str]] | None = None, **more: Any) -> Facts:
    """Facts with these containers; `changes` are paths added to a service's layer."""
    found = []
    for raw in containers:
        service = raw["Config"]["Labels"][SERVICE]
        found.append(parse_found(raw, [{"Path": path, "Kind": 1} for path in (changes or {}).get(service, [])]))
    images = {one.service: Image(one.container.image) for one in found if one}
    return Facts(found=tuple(one for one in found if one), images=images, **more)


def named(inventory: Inventory) -> dict[str, tuple[Kind, Manner, tuple[str, ...]]]:
    """Components in short, without those that every stack has."""
    always = {Kind.CONFIGURATION, Kind.IMAGES, Kind.PREFECT}
    return {c.name: (c.kind, c.manner, c.services) for c in inventory.components if c.kind not in always}


SHOP = """
services:
  db: {image: "postgres:16"}
  cache: {image: "redis:7"}
  graph: {image: "neo4j:5"}
  legacy: {image: "mysql:8"}
  web: {image: "shop/web", depends_on: [db, cache]}
  worker: {image: "shop/worker", depends_on: [web]}
  side: {image: "shop/side"}
volumes: {db_data: {}, files: {name: shared-files}}
"""


def test_stores_are_known_by_their_image_and_mounts() -> None:
    """Each kind with its procedure; a database that is not known is a volume, archived stopped."""
    found = take_inventory(
        stack_of(SHOP),
        facts_of(
            container("db", [volume("shop_db_data", "/var/lib/postgresql/data")], image="postgres:16"),
            container("cache", [volume("shop_cache", "/data")], image="redis:7"),
            container("graph", [volume("shop_graph", "/data")], image="neo4j:5"),
            container("legacy", [volume("shop_legacy", "/var/lib/mysql")], image="mysql:8"),
        ),
    )
    assert not found.problems
    assert named(found) == {
        "db": (Kind.POSTGRES, Manner.ONLINE, ("db",)),
        "cache": (Kind.REDIS, Manner.ONLINE, ("cache",)),
        "graph": (Kind.NEO4J, Manner.STOPPED, ("graph",)),
        "volume-shop_legacy": (Kind.VOLUME, Manner.STOPPED, ("legacy",)),
    }


def test_a_store_that_keeps_its_data_on_no_volume_fails_the_backup() -> None:
    """The data would be lost with the container; the path is named."""
    found = take_inventory(
        stack_of("services: {db: {image: 'postgres:16', environment: {PGDATA: /elsewhere}}}"),
        facts_of(container("db", [volume("shop_db", "/var/lib/postgresql/data")], image="postgres:16")),
    )
    assert found.problems == (
        "db: its data path /elsewhere lies on no volume: it would be lost with the container",
    )
    assert "volume-shop_db" in named(found), "what is mounted is saved all the same"


def test_a_shared_volume_stops_every_writer_and_no_reader() -> None:
    """One component for one volume, whoever mounts it."""
    found = take_inventory(
        stack_of(SHOP),
        facts_of(
            container("web", [volume("shared-files", "/files")]),
            container("worker", [volume("shared-files", "/in")]),
            container("side", [volume("shared-files", "/look", rw=False)]),
        ),
    )
    assert named(found) == {"volume-files": (Kind.VOLUME, Manner.STOPPED, ("web", "worker"))}


@pytest.mark.parametrize(
    ("rw", "hint", "manner"),
    [(True, "", Manner.STOPPED), (True, "live: true", Manner.LIVE), (False, "", Manner.LIVE)],
)
def test_only_the_author_can_have_a_written_volume_read_live(rw: bool, hint: str, manner: Manner) -> None:
    """Never live by itself; a volume that nobody writes needs no stop."""
    stack = stack_of(f"services: {{web: {{image: shop/web, x-ops: {{backup: {{{hint}}}}}}}}}")
    found = take_inventory(stack, facts_of(container("web", [volume("v", "/v", rw=rw)])))
    assert named(found)["volume-v"][1] is manner


def test_volumes_that_nobody_mounts_and_anonymous_ones_are_saved() -> None:
    """Declared and unused, or made by the image: data all the same."""
    found = take_inventory(
        stack_of(SHOP),
        facts_of(container("web", [volume(ANONYMOUS, "/var/lib/x")]), volumes={"shop_old": {}}),
    )
    assert named(found) == {
        "anonymous-web-var-lib-x": (Kind.VOLUME, Manner.STOPPED, ("web",)),
        "volume-shop_old": (Kind.VOLUME, Manner.LIVE, ()),
    }


def test_bind_mounts_are_configuration_data_or_the_hosts_own() -> None:
    """Small read-only trees and files are configuration; what can be written is data; sockets are waived."""
    facts = facts_of(
        container(
            "web",
            [
                bind("/srv/app/nginx.conf", "/etc/nginx.conf", rw=False),
                bind("/srv/app/state.json", "/state.json"),
                bind("/srv/app/uploads", "/uploads"),
                bind("/srv/app/empty", "/empty"),
                bind("/var/run/docker.sock", "/var/run/docker.sock"),
                bind("/proc", "/host/proc", rw=False),
            ],
        ),
        binds={
            "/srv/app/nginx.conf": Bind("file", 100, 1),
            "/srv/app/state.json": Bind("file", 100, 1),
            "/srv/app/uploads": Bind("directory", 10, 3),
            "/srv/app/empty": Bind("directory", 0, 0),
            "/var/run/docker.sock": Bind("special"),
            "/proc": Bind("directory", 1, 1),
        },
    )
    found = take_inventory(stack_of(SHOP), facts)
    written = (Kind.VOLUME, Manner.STOPPED, ("web",))
    assert named(found) == {"bind-srv-app-state.json": written, "bind-srv-app-uploads": written}
    assert {waiver.what for waiver in found.waived} == {"/var/run/docker.sock", "/proc"}
    assert configuration_binds(stack_of(SHOP), facts) == ("/srv/app/nginx.conf", "/srv/app/empty")
    assert data_binds(stack_of(SHOP), facts) == ("/srv/app/state.json", "/srv/app/uploads")
    waiving = stack_of("services: {web: {image: x, x-ops: {backup: {waive: {/etc/nginx.conf: made again}}}}}")
    assert "/srv/app/nginx.conf" in data_binds(waiving, facts)
    assert configuration_binds(waiving, facts) == ("/srv/app/empty",)


@pytest.mark.parametrize(
    "bind_there", [None, Bind("unseen"), Bind("directory", unread=1), Bind("file", 1, unread=1)]
)
def test_what_cannot_be_looked_at_is_data(bind_there: Bind | None) -> None:
    """On another host, or a directory that its service keeps to itself: it is read through the engine."""
    binds = {"/srv/mysql": bind_there} if bind_there else {}
    facts = facts_of(container("legacy", [bind("/srv/mysql", "/var/lib/mysql")]), binds=binds)
    found = take_inventory(stack_of(SHOP), facts)
    assert named(found) == {"bind-srv-mysql": (Kind.VOLUME, Manner.STOPPED, ("legacy",))}
    assert configuration_binds(stack_of(SHOP), facts) == ()


def test_what_a_container_wrote_outside_of_volumes_is_saved_or_waived() -> None:
    """Caches, sockets and what lies under mounts do not count."""
    written = {"web": ["/app/made.db", "/tmp/x", "/run/x.pid", "/app/__pycache__/a.pyc", "/v/inside"]}
    one = container("web", [volume("v", "/v")])
    found = take_inventory(stack_of(SHOP), facts_of(one, changes=written))
    assert [p.target for c in found.components if c.kind is Kind.LAYER for p in c.places] == ["/app/made.db"]
    waiving = stack_of("services: {web: {image: shop/web, x-ops: {backup: {waive: {layer: made again}}}}}")
    found = take_inventory(waiving, facts_of(one, changes=written))
    assert not [c for c in found.components if c.kind is Kind.LAYER]
    assert [w.reason for w in found.waived if w.what == "layer of web"] == ["made again"]


def test_of_paths_in_one_another_the_outer_one_is_recorded() -> None:
    """A package manager writes tens of thousands: they are read with their directory, and take no line each."""
    deep = [f"/app/modules/p{n // 50}/f{n}" for n in range(20_000)]
    written = {"web": ["/app/modules", *deep, "/app/modules-of-others/x", "/app/z"]}
    found = take_inventory(stack_of(SHOP), facts_of(container("web", []), changes=written))
    (layer,) = [one for one in found.components if one.kind is Kind.LAYER]
    assert [place.target for place in layer.places] == ["/app/modules", "/app/modules-of-others/x", "/app/z"]
    apart = [f"/etc/f{n}" for n in range(20_000)]
    assert len(topmost(apart)) == 20_000


def test_a_read_only_root_has_no_layer() -> None:
    """Nothing can have been written."""
    found = take_inventory(stack_of(SHOP), facts_of(container("web", [], read_only=True), changes={"web": ["/x"]}))
    assert named(found) == {}


def test_waived_by_volume_or_by_path_with_the_reason() -> None:
    """In the file's own words."""
    stack = stack_of(
        """
        x-ops: {backup: {waive: {files: "made again every night"}}}
        services: {web: {image: shop/web, x-ops: {backup: {waive: {"/cache": "a cache"}}}}}
        volumes: {files: {name: shared-files}}
        """
    )
    found = take_inventory(
        stack, facts_of(container("web", [volume("shared-files", "/f"), volume("c", "/cache")]))
    )
    assert named(found) == {}
    assert {w.what: w.reason for w in found.waived} == {"files": "made again every night", "c": "a cache"}


def test_a_volume_in_memory_is_waived_by_name() -> None:
    """The stop that its copy takes would empty it: nothing is saved that looks like something."""
    facts = facts_of(
        container("web", [volume("shop_scratch", "/scratch"), volume("shop_kept", "/kept")]),
        volumes={"shop_scratch": {}, "shop_kept": {}, "shop_unused": {}},
        in_memory=frozenset({"shop_scratch", "shop_unused", "another"}),
    )
    found = take_inventory(stack_of(SHOP), facts)
    assert list(named(found)) == ["volume-shop_kept"]
    assert {waiver.what for waiver in found.waived} == {"shop_scratch", "shop_unused"}
    assert all("memory" in waiver.reason for waiver in found.waived)


def test_where_a_store_keeps_its_data_in_its_volume_is_known() -> None:
    """Deeper than the volume is mounted, as its command says."""
    stack = stack_of("services: {c: {image: 'chromadb/chroma:1.5.9', command: [run, --path, /srv/chroma]}}")
    one = container("c", [volume("v", "/srv")], image="chromadb/chroma:1.5.9")
    found = take_inventory(stack, facts_of(one)).named("c")
    assert (found.data, found.places[0].target) == ("/srv/chroma", "/srv")


def test_a_port_and_a_user_are_told_where_nothing_else_tells_them() -> None:
    """The procedures read them; a port that is none is refused with its key."""
    text = "services: {cache: {image: 'redis:7', x-ops: {backup: {port: PORT, user: boss}}}}"
    found = take_inventory(
        stack_of(text.replace("PORT", "7000")),
        facts_of(container("cache", [volume("v", "/data")], image="redis:7")),
    )
    assert found.named("cache").options == {"port": 7000, "user": "boss"}
    with pytest.raises(Refused, match="port"):
        stack_of(text.replace("PORT", "70000")).services["cache"].hints  # noqa: B018


SHARED = """
services:
  cache: {image: "redis:7"}
  app: {image: shop/app, x-ops: {backup: {HINT}}}
  look: {image: shop/look}
volumes: {shared: {}}
"""


def shared(hint: str) -> Inventory:
    """A volume that Redis, an application and a reader mount."""
    return take_inventory(
        stack_of(SHARED.replace("HINT", hint)),
        facts_of(
            container("cache", [volume("shop_shared", "/data")], image="redis:7"),
            container("app", [volume("shop_shared", "/uploads")]),
            container("look", [volume("shop_shared", "/look", rw=False)]),
        ),
    )


@pytest.mark.parametrize(("hint", "manner"), [("", Manner.STOPPED), ("live: true", Manner.LIVE)])
def test_what_others_write_into_an_online_stores_volume_is_a_component(hint: str, manner: Manner) -> None:
    """The store's own dump holds nothing of it: the others stop for it, the store does not; a reader is none."""
    found = shared(hint)
    assert named(found) == {
        "cache": (Kind.REDIS, Manner.ONLINE, ("cache",)),
        "volume-shared": (Kind.VOLUME, manner, ("app",)),
    }
    store, beside = found.named("cache"), found.named("volume-shared")
    assert store.leaves == ("shop_shared",)
    assert (beside.without, beside.container, beside.places[0].target) == (Kind.REDIS, "id-cache", "/data")


def test_waiving_what_others_write_there_does_not_waive_the_store() -> None:
    """By the path at which the other one has it."""
    found = shared("waive: {/uploads: made again}")
    assert named(found) == {"cache": (Kind.REDIS, Manner.ONLINE, ("cache",))}
    assert [waiver.what for waiver in found.waived] == ["shared"]


def test_prometheus_is_stopped_unless_its_admin_interface_is_on() -> None:
    """Only that makes snapshots."""
    for command, manner in (("[]", Manner.STOPPED), ("[--web.enable-admin-api]", Manner.ONLINE)):
        stack = stack_of(f"services: {{p: {{image: prom/prometheus, command: {command}}}}}")
        one = container("p", [volume("p", "/prometheus")], image="prom/prometheus")
        assert named(take_inventory(stack, facts_of(one)))["p"][:2] == (Kind.PROMETHEUS, manner)


def test_writers_are_all_that_depend_on_a_store_and_are_none() -> None:
    """Transitively; the hint takes one out, or another in."""
    found = take_inventory(
        stack_of(SHOP), facts_of(container("db", [volume("d", "/var/lib/postgresql/data")], image="postgres:16"))
    )
    assert writers(stack_of(SHOP), found.components) == ("web", "worker")
    told = SHOP.replace('{image: "shop/worker"', '{x-ops: {backup: {writer: false}}, image: "shop/worker"')
    told = told.replace('{image: "shop/side"', '{x-ops: {backup: {writer: true}}, image: "shop/side"')
    assert writers(stack_of(told), found.components) == ("web", "side")


def test_a_database_that_is_not_recognised_is_a_store_too() -> None:
    """Who depends on it stands still; who has a volume of its own besides is a writer all the same."""
    stack = stack_of(
        "services: {legacy: {image: 'mysql:8'}, shop: {image: shop, depends_on: [legacy]},"
        " web: {image: web, depends_on: [shop]}, alone: {image: alone}}"
    )
    found = take_inventory(
        stack,
        facts_of(
            container("legacy", [volume("m", "/var/lib/mysql")]),
            container("shop", [volume("uploads", "/uploads")]),
            container("alone", [volume("a", "/a")]),
        ),
    )
    assert writers(stack, found.components) == ("shop", "web")


def test_components_are_told_apart() -> None:
    """Paths that differ only where names cannot, and a store that is called like a part of every backup."""
    stack = stack_of("services: {images: {image: 'redis:7'}, web: {image: web}, records: {image: 'neo4j:5'}}")
    binds = {source: Bind("directory", 10**9, 3) for source in ("/srv/data/x", "/srv/data-x", "/srv/other")}
    found = take_inventory(
        stack,
        facts_of(
            container("images", [volume("r", "/data")], image="redis:7"),
            container("records", [volume("n", "/data")], image="neo4j:5"),
            container("web", [bind(source, f"/mnt{number}") for number, source in enumerate(binds)]),
            binds=binds,
        ),
    )
    names = [component.name for component in found.components]
    assert len(set(names)) == len(names) == 7
    assert {"bind-srv-other", "configuration", "images"} <= set(names)
    assert "records" not in names
    again = take_inventory(stack, facts_of(container("images", [volume("r", "/data")], image="redis:7")))
    assert again.components[0].name in names


@pytest.mark.parametrize(("name", "made"), [("_x", "x"), ("a/../b", "b"), ("/", "unnamed"), ("é", "unnamed")])
def test_names_are_safe(name: str, made: str) -> None:
    """They begin with a letter or a digit."""
    assert safe(name) == made
