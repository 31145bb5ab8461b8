"""However a worker dies, its tasks run again within the lease, and never beside their first run."""

import os
import shutil
import signal
import time
from collections import Counter

import pytest
from alphaswarm_runtime.transport import keys

from tests.images.runtime.harness import Fleet, marks, overlap, until
from tools.bench.runtime.soak.proxy import Proxy

pytestmark = pytest.mark.redis

LEASE = {"ALPHASWARM_LEASE": "6", "ALPHASWARM_RESTORE_INTERVAL": "1"}


def starts(fleet: Fleet) -> list[float]:
    return [float(line.split()[3]) for line in fleet.server.journal() if line.startswith("start ")]


def states(fleet: Fleet) -> Counter[str]:
    return Counter(line.split()[0] for line in fleet.server.journal())


def test_the_tasks_of_a_killed_container_start_again_within_the_lease(fleet: Fleet) -> None:
    first = fleet.worker(concurrency="2", **LEASE)
    sent = [fleet.send("sleep", str(number), 10) for number in range(2)]
    until(lambda: len(starts(fleet)) == 2, "both run")
    fleet.worker(concurrency="2", **LEASE)
    killed_at = time.time()
    first.kill()
    until(lambda: len(starts(fleet)) == 4, "both run again")
    print(f"again after {max(starts(fleet)) - killed_at:.1f} s, with a lease of 6 s")
    assert [task.get() for task in sent] == ["0", "1"]
    assert states(fleet) == {"start": 4, "end": 2}


def test_a_container_that_starts_in_the_same_pod_need_not_wait_for_the_lease(fleet: Fleet) -> None:
    shared = {"ALPHASWARM_STATE_DIR": str(fleet.folder / "pod"), "ALPHASWARM_LEASE": "600"}
    first = fleet.worker(**shared)
    sent = fleet.send("sleep", "a", 3)
    until(lambda: starts(fleet), "it runs")
    first.kill()
    second = fleet.worker(**shared)
    assert sent.get() == "a"
    assert "of the process before this one" in second.output


def test_a_worker_that_shares_its_folder_with_a_living_one_takes_nothing_from_it(fleet: Fleet) -> None:
    shared = {"ALPHASWARM_STATE_DIR": str(fleet.folder / "shared"), "ALPHASWARM_LEASE": "600"}
    fleet.worker(**shared)
    sent = fleet.send("sleep", "a", 3)
    until(lambda: starts(fleet), "it runs")
    fleet.worker(**shared)
    assert sent.get() == "a"
    assert states(fleet) == {"start": 1, "end": 1}


def test_a_worker_that_was_stopped_for_longer_than_its_lease_ends_its_tasks_when_it_goes_on(fleet: Fleet) -> None:
    file = fleet.folder / "marks"
    first = fleet.worker(**LEASE)
    sent = fleet.send("leave_marks", str(file), 4)
    until(file.exists, "it runs")
    time.sleep(0.5)
    os.killpg(first.pid, signal.SIGSTOP)
    second = fleet.worker(**LEASE)
    until(sent.ready, "another worker runs it")
    again = fleet.send("leave_marks", str(file) + "-2", 1)
    os.killpg(first.pid, signal.SIGCONT)
    again.get()
    time.sleep(2)
    done = [line for line in file.read_text().splitlines() if line.endswith("done")]
    print(f"ended {len(done)} times, runs overlapped for {overlap(file):.3f} s")
    assert len(done) == 1
    assert overlap(file) == 0
    assert first.popen.poll() is None
    first.wait_ready()
    second.terminate()
    assert second.wait() == 0
    assert fleet.send("note", "first again").get() == "first again"


def test_a_hung_parent_keeps_its_tasks_no_longer_than_its_lease(fleet: Fleet) -> None:
    """Its children are not stopped: they must end themselves before another worker starts their tasks."""
    file = fleet.folder / "marks"
    first = fleet.worker(**LEASE)
    sent = fleet.send("leave_marks", str(file), 12)
    until(file.exists, "it runs")
    os.kill(first.pid, signal.SIGSTOP)
    fleet.worker(**LEASE)
    until(sent.ready, "another worker runs it")
    os.kill(first.pid, signal.SIGCONT)
    time.sleep(1)
    print(f"runs overlapped for {overlap(file):.3f} s")
    assert overlap(file) == 0


def test_a_terraform_run_is_neither_ended_nor_repeated_for_a_lease(fleet: Fleet) -> None:
    first = fleet.worker("terraform", **LEASE)
    sent = fleet.send("sleep", "apply", 12, queue="terraform")
    until(lambda: starts(fleet), "it runs")
    os.kill(first.pid, signal.SIGSTOP)
    fleet.worker("terraform", **LEASE)
    time.sleep(9)
    os.kill(first.pid, signal.SIGCONT)
    assert sent.get() == "apply"
    time.sleep(2)
    assert states(fleet) == {"start": 1, "end": 1}
    with fleet.server.client() as client:
        until(lambda: client.hlen(keys.unacked("terraform")) == 0, "it is acknowledged")


@pytest.mark.parametrize("keys_of", ["", ":worker", ":default"])
def test_what_workers_without_leases_left_is_taken_back_when_it_is_overdue(fleet: Fleet, keys_of: str) -> None:
    """Kombu's own keys, and those of an earlier release in either layout."""
    sent = [fleet.send("note", what, priority=priority) for what, priority in (("overdue", 5), ("recent", 0))]
    with fleet.server.client() as client:
        for task, name, age in ((sent[0], "default\x06\x163", 1801), (sent[1], "default", 60)):
            message = client.rpop(name)
            client.hset(f"unacked{keys_of}", task.id, f'[{message}, "", "default"]')
            client.zadd(f"unacked_index{keys_of}", {task.id: time.time() - age})
        client.hset(f"unacked{keys_of}", "other", f'[{message}, "", "somebody elses"]')
        client.lpush("dead:default", "{}")
        fleet.worker()
        assert sent[0].get() == "overdue"
        assert set(client.hkeys(f"unacked{keys_of}")) == {sent[1].id, "other"}, "its worker may still run"
        assert client.zrange(f"unacked_index{keys_of}", 0, -1) == [sent[1].id]
        until(
            lambda: client.lrange(keys.dead("default"), 0, -1) == ["{}"], "the dead letter is found under its new name"
        )


def test_a_message_past_its_deadline_comes_back_although_its_owner_lives(fleet: Fleet) -> None:
    """The last net: an owner that renews its lease, and forgot the message."""
    times = {"ALPHASWARM_TIME_LIMIT": "2", "ALPHASWARM_GRACE_PERIOD": "3", "ALPHASWARM_VISIBILITY_TIMEOUT": "4"}
    fleet.worker("terraform", **times)
    sent = fleet.send("note", "forgotten", queue="terraform")
    sent.get()
    with fleet.server.client() as client:
        raw = (
            '{"body": "W1siYWdhaW4iXSwge30sIHt9XQ==", "content-type": "application/json", "content-encoding": "utf-8", '
            '"headers": {"task": "sample.note", "id": "a", "lang": "py"}, "properties": {"delivery_tag": "t", '
            '"body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "terraform"}}}'
        )
        soon = int((time.time() + 2) * 1000)
        client.hset(keys.unacked("terraform"), "t", f"terraform\nsomebody\n{soon}\n{raw}")
    until(lambda: len(fleet.server.journal()) == 2, "it runs")


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_a_worker_that_is_cut_off_ends_its_task_before_another_starts_it(fleet: Fleet, how: str) -> None:
    file = fleet.folder / "marks"
    proxy = Proxy(fleet.server.port)
    first = fleet.worker(CELERY_BROKER_URL=f"redis://127.0.0.1:{proxy.port}/0", **LEASE)
    sent = fleet.send("leave_marks", str(file), 12)
    until(file.exists, "it runs")
    getattr(proxy, how)(20)
    fleet.worker(**LEASE)
    until(sent.ready, "another worker runs it")
    print(f"runs overlapped for {overlap(file):.3f} s")
    assert overlap(file) == 0
    assert len([line for line in file.read_text().splitlines() if line.endswith("done")]) == 1
    first.wait_ready()
    proxy.close()


def test_a_server_that_is_killed_and_reads_its_file_again_loses_nothing(fleet: Fleet) -> None:
    fleet.worker(concurrency="2", **LEASE)
    sent = [fleet.send("sleep", str(number), 1) for number in range(6)]
    parked = fleet.send("note", "later", countdown=8)
    until(lambda: len(starts(fleet)) == 2, "two run")
    assert fleet.server.process is not None
    fleet.server.process.kill()
    fleet.server.process.wait()
    fleet.server.start()
    assert [task.get() for task in sent] == [str(number) for number in range(6)]
    assert parked.get() == "later"


def test_workers_whose_clocks_differ_start_tasks_neither_early_nor_twice(fleet: Fleet) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed: apt-get install faketime")
    own = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", **LEASE}
    arguments = ("worker", "--queues", "default", "--concurrency", "1")
    ahead, behind = (fleet.start_by(("faketime", "-f", skew), *arguments, **own) for skew in ("+600s", "-600s"))
    for worker in (ahead, behind):
        worker.wait_ready()
    sent_at = time.monotonic()
    later = [fleet.send("note", str(number), countdown=5) for number in range(4)]
    until(lambda: all(task.ready() for task in later), "they run")
    took = time.monotonic() - sent_at
    print(f"a countdown of 5 s, clocks 20 minutes apart: all ended after {took:.1f} s")
    assert 5 <= took < 12
    assert len(fleet.server.journal()) == 4
    file = fleet.folder / "marks"
    again = fleet.send("leave_marks", str(file), 6)
    until(file.exists, "it runs")
    runner = next(iter(marks(file)))
    (ahead if os.getpgid(runner) == ahead.pid else behind).kill()
    until(again.ready, "the other runs it again, although its clock is another")
    assert overlap(file) == 0
