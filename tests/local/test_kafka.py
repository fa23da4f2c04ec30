"""The broker of our own: its jars, its ports, its data."""

import os
import pwd
import re
import shutil
import socket
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from annolog.local.errors import LocalError, NoBrokerError
from annolog.local.jars import default_cache, find_jars, find_java
from annolog.local.kafka import (
    LOOPBACK,
    Broker,
    Ports,
    archive_of,
    free_ports,
    properties,
    shared_classes,
)
from tests.support.kafka import KafkaServer
from tests.support.marked import wait_for


def topics(bootstrap: str) -> list[str]:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        return sorted(admin.list_topics())
    finally:
        admin.close()


def create_topic(bootstrap: str, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}})
    finally:
        admin.close()


def test_topics_outlive_a_kill_and_a_change_of_ports(tmp_path: Path) -> None:
    jars, java = find_jars(default_cache()), find_java()
    broker = Broker(tmp_path, java=java, jars=jars)
    child = broker.start()
    try:
        create_topic(broker.bootstrap, "kept")
        # The topic is there before its answer; the log of the node may lag.
        wait_for(lambda: topics(broker.bootstrap) == ["kept"])
    finally:
        child.kill()
    first = broker.bootstrap

    with socket.create_server((LOOPBACK, int(first.split(":")[1]))):
        again = Broker(tmp_path, java=java, jars=jars)
        child = again.start()
        try:
            assert again.bootstrap != first
            assert topics(again.bootstrap) == ["kept"]
        finally:
            child.stop()


def test_classes_kept_of_another_broker_are_passed_over(tmp_path: Path) -> None:
    jars, java = tmp_path / "kafka", find_java()
    jars.symlink_to(find_jars(default_cache()))
    archive_of(java, jars).write_bytes(b"nothing that Java knows")
    assert shared_classes(java, jars)
    child = Broker(tmp_path / "home", java=java, jars=jars).start()
    child.stop()


def test_a_broker_takes_its_ports_again_and_can_be_frozen(
    kafka_server: KafkaServer,
) -> None:
    before = kafka_server.bootstrap
    kafka_server.kill()
    kafka_server.start()
    assert kafka_server.bootstrap == before

    kafka_server.freeze()
    with pytest.raises(KafkaError):
        KafkaAdminClient(bootstrap_servers=before, bootstrap_timeout_ms=500)
    kafka_server.thaw()
    assert isinstance(topics(before), list)


def test_the_broker_listens_on_loopback_alone(tmp_path: Path) -> None:
    given = properties(tmp_path, Ports(1, 2))
    listeners = given["listeners"].split(",") + given["advertised.listeners"].split(",")
    assert all(f"//{LOOPBACK}:" in listener for listener in listeners)


def test_free_ports_are_different() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20


@pytest.mark.parametrize("name", ["ports", "server.properties", "cluster-id"])
def test_a_full_disk_is_one_line_and_leaves_no_half_a_file(
    tmp_path: Path, name: str
) -> None:
    directory = tmp_path / "kafka"
    directory.mkdir()
    (directory / f"{name}.new").symlink_to("/dev/full")
    broker = Broker(tmp_path, java=Path("/bin/false"), jars=tmp_path)

    with pytest.raises(LocalError) as raised:
        broker.start()

    assert str(raised.value) == f"cannot use {directory}: No space left on device"
    assert not (directory / name).exists()


def test_jars_that_were_changed_are_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = find_jars(default_cache())
    changed = tmp_path / good.name
    shutil.copytree(good, changed)
    with next(changed.glob("zstd*")).open("ab") as jar:
        jar.write(b"one byte more")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoBrokerError, match="needs Maven once"):
        find_jars(tmp_path)


def test_jars_are_fetched_anew_where_one_is_missing_and_another_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = find_jars(default_cache())
    left = tmp_path / "cache" / good.name
    left.mkdir(parents=True)
    (left / "stranger.jar").touch()
    # In Maven's place: copies what it is asked for to where it is asked to.
    maven = tmp_path / "mvn"
    maven.write_text(
        "#!/bin/sh\n"
        "for word; do case $word in -DoutputDirectory=*) to=${word#*=}; esac; done\n"
        f'cp -r "{good}" "$to"\n'
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    found = find_jars(tmp_path / "cache")

    assert sorted(p.name for p in found.iterdir()) == sorted(
        p.name for p in good.iterdir()
    )


def test_maven_keeps_its_repository_in_our_cache_if_the_user_has_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = pwd.struct_passwd(("x", "x", 1, 1, "x", str(tmp_path / "none"), "x"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: nobody)
    maven = tmp_path / "mvn"
    maven.write_text('#!/bin/sh\nshift 6; echo "[ERROR] $*"; exit 1\n')
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    repository = re.escape(f"-Dmaven.repo.local={tmp_path / 'cache' / 'maven'}")
    with pytest.raises(NoBrokerError, match=repository):
        find_jars(tmp_path / "cache")


def test_what_maven_brings_is_compared_with_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = tmp_path / "mvn"
    maven.write_text(
        "#!/bin/sh\n"
        "for word; do case $word in -DoutputDirectory=*) to=${word#*=}; esac; done\n"
        'mkdir "$to"; touch "$to/stranger.jar"\n'
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(NoBrokerError, match="not those that annolog knows"):
        find_jars(tmp_path / "cache")


def test_a_maven_that_fails_is_told_with_its_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = tmp_path / "mvn"
    maven.write_text(
        "#!/bin/sh\necho '[ERROR] no route to host'; echo '[ERROR] See'; exit 1\n"
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(NoBrokerError, match=r"by Maven failed .*no route to host"):
        find_jars(tmp_path / "cache")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ('openjdk version "17.0.15" 2025-04-15', None),
        ('openjdk version "25" 2025-09-16', None),
        ('openjdk version "11.0.2" 2019-01-15', "is Java 11"),
        ('java version "1.8.0_412"', "is Java 8"),
        ("no such thing", "does not tell its version"),
    ],
)
def test_a_java_is_taken_by_its_version(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    complaint: str | None,
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if complaint is None:
        assert find_java() == java
    else:
        with pytest.raises(NoBrokerError, match=complaint):
            find_java()
