"""Running and ending tasks: none is lost, and none runs twice at once. The figures printed are the evidence."""

import contextlib
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from alphaswarm_runtime.transport import keys
from alphaswarm_runtime.worker.processes import is_running, process_tree
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.images.runtime.harness import Fleet, Process, marks, overlap, until, zombie

pytestmark = pytest.mark.redis

SHORT = {"ALPHASWARM_TIME_LIMIT": "4", "ALPHASWARM_GRACE_PERIOD": "5"}
UP_TIMEOUT = "Timed out waiting for UP message"  # Celery's, of a process that it kills before its first task


def starts(fleet: Fleet) -> Counter[str]:
    return Counter(line.split()[1] for line in fleet.server.journal() if line.startswith("start "))


def ends(fleet: Fleet) -> Counter[str]:
    return Counter(line.split()[1] for line in fleet.server.journal() if line.startswith("end "))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_task_may_start_processes_of_its_own(fleet: Fleet, method: str) -> None:
    fleet.worker()
    assert fleet.send("start_process", method).get() != 0


def test_an_application_that_knows_nothing_of_the_fleet_runs_its_tasks(fleet: Fleet) -> None:
    fleet.worker()
    assert fleet.send("note", "hello").get() == "hello"


def journalled_processes(fleet: Fleet) -> list[str]:
    return [line.split()[-1] for line in fleet.server.journal() if line.startswith("start ")]


@pytest.mark.parametrize(
    ("limit", "processes"),
    [({"ALPHASWARM_MAX_TASKS_PER_CHILD": "2"}, 3), ({"ALPHASWARM_MAX_MEMORY_PER_CHILD": "1"}, 6), ({}, 1)],
)
def test_processes_are_replaced_as_the_environment_says(fleet: Fleet, limit: dict[str, str], processes: int) -> None:
    fleet.worker(**limit)
    for number in range(6):
        fleet.send("sleep", str(number), 0.01).get()
    assert len(set(journalled_processes(fleet))) == processes


def test_waiting_and_running_tasks_can_be_counted_exactly_by_the_scalers_two_keys(fleet: Fleet) -> None:
    fleet.worker(concurrency="2")
    for number in range(5):
        fleet.send("sleep", str(number), 300)
    with fleet.server.client() as client:
        until(lambda: client.hlen(keys.unacked("default")) == 2, "two tasks run")
        time.sleep(0.5)
        waiting, running = client.llen("default"), client.hlen(keys.unacked("default"))
        print(f"waiting {waiting}, running {running} of 5 tasks at concurrency 2")
        assert (waiting, running) == (3, 2), "the scaler would count tasks that do not run, or miss some that do"
        assert not client.exists("unacked"), "the shared hash is in use: one queue's tasks would hold another's pods"


def test_each_queue_of_one_process_has_keys_of_its_own(fleet: Fleet) -> None:
    fleet.start("worker", "--queues", "default,paper", "--concurrency", "2").wait_ready()
    fleet.send("sleep", "a", 8)
    fleet.send("sleep", "b", 8, queue="paper")
    with fleet.server.client() as client:
        until(lambda: [client.hlen(keys.unacked(name)) for name in ("default", "paper")] == [1, 1], "both are counted")
    until(lambda: sum(ends(fleet).values()) == 2, "both tasks end")


def test_sigterm_finishes_what_runs_and_leaves_what_waits(fleet: Fleet) -> None:
    worker = fleet.worker(concurrency="2")
    for number in range(4):
        fleet.send("sleep", str(number), 6)
    until(lambda: sum(starts(fleet).values()) == 2, "two tasks run")
    worker.terminate()
    assert worker.wait() == 0, worker.output
    with fleet.server.client() as client:
        waiting, running = client.llen("default"), client.hlen(keys.unacked("default"))
    print(f"sent 4, started {sum(starts(fleet).values())}, ended {sum(ends(fleet).values())}, waiting {waiting}")
    assert (sum(ends(fleet).values()), waiting, running) == (2, 2, 0)


def test_sigterm_keeps_the_process_live_and_not_ready_while_it_waits(fleet: Fleet) -> None:
    worker = fleet.worker()
    fleet.send("sleep", "a", 8)
    until(lambda: starts(fleet), "the task runs")
    worker.terminate()
    until(lambda: "shutting down" in worker.probe("ready")[1], "the worker says that it consumes no more")
    assert worker.probe_succeeds("live")
    assert worker.wait() == 0


def test_sigterm_requeues_a_long_task_after_the_soft_shutdown_and_it_runs_again(fleet: Fleet) -> None:
    tuned = {"ALPHASWARM_SOFT_SHUTDOWN": "1", "ALPHASWARM_GRACE_PERIOD": "20"}
    worker = fleet.worker("ingestion", **tuned)
    sent = fleet.send("sleep", "long", 4, queue="ingestion")
    until(lambda: starts(fleet), "the task runs")
    began = time.monotonic()
    worker.terminate()
    assert worker.wait() == 0
    took = time.monotonic() - began
    with fleet.server.client() as client:
        assert (client.llen("ingestion"), client.hlen(keys.unacked("ingestion"))) == (1, 0), "the task was not requeued"
    fleet.worker("ingestion", **tuned)
    assert sent.get() == "long"
    print(f"requeued after {took:.1f} s, started {starts(fleet)['long']} times, ended {ends(fleet)['long']} time")
    assert (starts(fleet)["long"], ends(fleet)["long"]) == (2, 1)


def test_a_soft_shutdown_ends_as_soon_as_nothing_runs(fleet: Fleet) -> None:
    worker = fleet.worker("ingestion", ALPHASWARM_SOFT_SHUTDOWN="60", ALPHASWARM_GRACE_PERIOD="90")
    fleet.send("sleep", "short", 1, queue="ingestion")
    until(lambda: starts(fleet), "the task runs")
    worker.terminate()
    assert worker.wait(within=45) == 0, "the pod sits out its soft shutdown with nothing to do"
    assert ends(fleet)["short"] == 1


def test_sigkill_of_the_whole_worker_loses_no_task(fleet: Fleet) -> None:
    worker = fleet.worker(concurrency="2", **SHORT)
    sent = [fleet.send("sleep", str(number), 2) for number in range(4)]
    until(lambda: sum(starts(fleet).values()) == 2, "two tasks run")
    worker.kill()
    fleet.worker(concurrency="2", **SHORT)
    for result in sent:
        result.get()
    print(f"sent 4, started {sum(starts(fleet).values())}, ended {len(ends(fleet))}, lost 0")
    assert sorted(ends(fleet)) == ["0", "1", "2", "3"]


def test_a_dropped_connection_never_runs_a_task_twice_at_the_same_time(fleet: Fleet, tmp_path: Path) -> None:
    workers = [fleet.worker(concurrency="2") for _ in range(2)]
    files = [tmp_path / f"marks-{number}" for number in range(3)]
    sent = [fleet.send("leave_marks", str(file), 6) for file in files]
    until(lambda: all(file.exists() for file in files), "the tasks run")
    drops = 3
    for _ in range(drops):
        time.sleep(1.0)
        fleet.server.drop_connections()
    for result in sent:
        result.get()
    runs = [len(marks(file)) for file in files]
    both = [overlap(file) for file in files]
    print(f"{drops} drops, {len(workers)} workers: runs per task {runs}, seconds two ran at once {both}")
    assert sum(runs) > len(files), "no task was cancelled: the test shows nothing"
    assert not any(both), "a task ran twice at once"


@pytest.mark.parametrize("files", ["1", "2", "3", "4"])
def test_a_dropped_connection_leaves_no_descriptor_of_a_dead_process_behind(fleet: Fleet, files: str) -> None:
    fleet.worker(concurrency="2", CELERY_APP="crowded", CROWDED_FILES=files)
    with fleet.server.client() as client:
        for _ in range(3):
            sent = [fleet.send("sleep", name, 2) for name in "ab"]
            until(lambda: client.hlen(keys.unacked("default")) == 2, "both tasks run")
            time.sleep(0.5)
            fleet.server.drop_connections()
            for result in sent:
                result.get()


def test_dropped_connections_leave_no_more_descriptors_open(fleet: Fleet) -> None:
    worker = fleet.worker(concurrency="2")
    opened = []
    for number in range(6):
        sent = [fleet.send("sleep", f"{name}{number}", 1) for name in "ab"]
        until(lambda number=number: len(starts(fleet)) == 2 * number + 2, "both tasks run")  # type: ignore[misc]
        fleet.server.drop_connections()
        for result in sent:
            result.get()
        opened.append(len(list(Path(f"/proc/{worker.pid}/fd").iterdir())))
    print(f"descriptors after each of {len(opened)} drops: {opened}")
    assert opened[-1] < opened[0] + len(opened) - 1, "a worker has no more files after some hundreds of drops"


def test_dropped_connections_leave_nothing_to_the_event_loop_that_it_calls_in_every_turn(fleet: Fleet) -> None:
    worker = fleet.worker(CELERY_APP="reconnects")

    def ticks() -> list[int]:
        try:
            return list((fleet.control().inspect(timeout=2, limit=1)._request("ticks") or {}).values())
        except RedisConnectionError:  # the controller's own connection was dropped too
            return []

    counted = []
    for number in range(1, 5):
        counted += until(ticks, "the worker replies")
        fleet.server.drop_connections()
        until(lambda number=number: worker.output.count("mingle: all alone") > number, "connected")  # type: ignore[misc]
        worker.wait_ready()
    print(f"functions in every turn, after each drop: {counted}")
    assert len(set(counted[1:])) == 1


def test_a_connection_lost_as_the_lease_begins_is_closed(fleet: Fleet) -> None:
    worker, other = (fleet.worker(CELERY_APP="reconnects", RECONNECTS_FAIL=failures) for failures in ("0", "8"))
    assert other.output.count("lost as the lease begins") >= 8
    usual, opened = (
        sum(str(file.readlink()).startswith("socket:") for file in Path(f"/proc/{process.pid}/fd").iterdir())
        for process in (worker, other)
    )
    assert opened <= usual + 2


@pytest.mark.parametrize("drops", [0, 2])
def test_a_pool_process_that_hangs_as_it_starts_is_replaced_also_after_connections_dropped(
    fleet: Fleet, tmp_path: Path, drops: int
) -> None:
    file = tmp_path / "hang"
    fleet.worker(CELERY_APP="hanging", HANGING_FILE=str(file))
    child = int(str(fleet.send("pid").get()))
    file.touch()
    os.kill(child, signal.SIGKILL)
    until(lambda: not file.exists(), "the next process hangs")
    for _ in range(drops):
        fleet.server.drop_connections()
        time.sleep(1.5)
    assert fleet.send("pid").get() != child, "it would wait for the visibility timeout"


def test_a_process_that_hangs_as_it_starts_is_replaced_where_the_connection_dropped_while_it_was_made(
    fleet: Fleet, tmp_path: Path
) -> None:
    file = tmp_path / "hang"
    worker = fleet.worker(CELERY_APP="hanging", HANGING_FILE=str(file))
    child = int(str(fleet.send("pid").get()))
    fleet.server.drop_connections()
    until(lambda: worker.output.count("mingle: searching") == 2, "the worker is connected, and not in its event loop")
    file.touch()
    os.kill(child, signal.SIGKILL)
    until(lambda: not is_running(child), "the process is gone, and not replaced yet")
    fleet.server.drop_connections()
    until(lambda: not file.exists(), "the next process hangs")
    assert fleet.send("pid").get() != child, "Celery cancels the timer that would kill it"
    assert UP_TIMEOUT in worker.output


@pytest.mark.parametrize("queue", ["default", "terraform"])
def test_a_worker_that_shuts_down_takes_nothing_new_over_a_new_connection(fleet: Fleet, queue: str) -> None:
    worker = fleet.worker(queue)
    fleet.send("sleep", "first", 4, queue=queue)
    until(lambda: starts(fleet), "the task runs")
    for number in range(20):
        fleet.send("sleep", str(number), 1, queue=queue)
    worker.terminate()
    until(lambda: "consuming stopped" in worker.output, "the worker waits for its task")
    fleet.server.drop_connections()
    assert worker.wait() == 0
    assert set(starts(fleet)) == {"first"}, "it would go on until it is killed with a task at the end of its grace"
    waiting = 20 if queue == "terraform" else 21  # a terraform run goes on; another one runs again elsewhere
    with fleet.server.client() as client:
        assert (client.llen(queue), client.hlen(keys.unacked(queue))) == (waiting, 0)


def test_a_task_that_ignores_sigterm_is_killed_before_another_worker_gets_it(fleet: Fleet, tmp_path: Path) -> None:
    for _ in range(2):
        fleet.worker()
    file = tmp_path / "marks"
    sent = fleet.send("leave_marks", str(file), 5, True)
    until(file.exists, "the task runs")
    time.sleep(1.0)
    fleet.server.drop_connections()
    sent.get()
    print(f"1 drop, SIGTERM ignored: runs {len(marks(file))}, seconds two ran at once {overlap(file)}")
    assert len(marks(file)) == 2
    assert overlap(file) == 0


def test_a_dropped_connection_neither_ends_nor_repeats_a_terraform_run(fleet: Fleet, tmp_path: Path) -> None:
    for _ in range(2):
        fleet.worker("terraform")
    file = tmp_path / "marks"
    sent = fleet.send("leave_marks", str(file), 8, queue="terraform")
    until(file.exists, "the task runs")
    for _ in range(2):
        time.sleep(1.0)
        fleet.server.drop_connections()
    sent.get()
    with fleet.server.client() as client:
        until(lambda: client.hlen(keys.unacked("terraform")) == 0, "the run is acknowledged over the new connection")
        time.sleep(1.5)
        waiting = client.llen("terraform")
    print(f"2 drops, 2 workers: runs {len(marks(file))}, waiting afterwards {waiting}")
    assert (len(marks(file)), waiting) == (1, 0)


def test_a_worker_with_a_detached_task_fetches_no_second_one(fleet: Fleet, tmp_path: Path) -> None:
    worker = fleet.worker("terraform")
    first, second = tmp_path / "first", tmp_path / "second"
    fleet.send("leave_marks", str(first), 15, queue="terraform")
    until(first.exists, "the task runs")
    fleet.send("leave_marks", str(second), 1, queue="terraform")
    fleet.server.drop_connections()
    until(lambda: worker.output.count("mingle: all alone") == 2, "the worker is connected again")
    time.sleep(2.5)
    assert "done" not in first.read_text(), "the run ended before anything could be seen"
    with fleet.server.client() as client:
        waiting, running = client.llen("terraform"), client.hlen(keys.unacked("terraform"))
    assert worker.probe_succeeds("ready")
    assert (waiting, running) == (1, 1), "a task waits inside the worker, where its visibility timeout already runs"
    until(lambda: second.exists() and "done" in second.read_text(), "the second task runs after the first")


@pytest.mark.parametrize("queue", ["default", "terraform"])
def test_a_task_whose_process_has_not_said_that_it_began_is_cancelled_too(
    fleet: Fleet, tmp_path: Path, queue: str
) -> None:
    worker = fleet.worker(queue)
    fleet.send("sleep", "before", 0, queue=queue).get()
    child = int(fleet.server.journal()[0].split()[-1])
    file = tmp_path / "marks"
    os.kill(child, signal.SIGSTOP)  # as one that gets no processor
    try:
        sent = fleet.send("leave_marks", str(file), 4, queue=queue)
        with fleet.server.client() as client:
            until(lambda: client.hlen(keys.unacked(queue)) == 1, "the worker has the task")
        time.sleep(1.0)
        other = fleet.worker(queue)
        fleet.server.drop_connections()
        until(file.exists, "the task runs")
        until(lambda: worker.output.count("mingle: all alone") == 2, "the first worker is connected again")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGCONT)
    sent.get()
    with fleet.server.client() as client:
        until(lambda: client.hlen(keys.unacked(queue)) == 0, "nothing is left of it")
    runs = len(marks(file))
    print(f"{queue}: runs {runs}, seconds two ran at once {overlap(file)}")
    assert (runs, overlap(file)) == (1, 0)
    assert other.probe_succeeds("ready")
    for number in range(4):
        assert fleet.send("note", str(number), queue=queue).get() == str(number)


def test_a_dropped_connection_ends_the_program_that_the_task_started(fleet: Fleet) -> None:
    fleet.worker()
    fleet.send("run_program", 60)
    pid = int(until(fleet.server.journal, "the program runs")[0].split()[1])
    fleet.server.drop_connections()
    until(lambda: len(fleet.server.journal()) == 2, "the task runs again")
    assert not is_running(pid)


def test_a_process_that_dies_while_the_connection_is_made_anew_does_not_end_the_worker(fleet: Fleet) -> None:
    worker = fleet.worker()
    fleet.send("sleep", "before", 0).get()
    with zombie(int(fleet.server.journal()[0].split()[-1])):
        time.sleep(1.0)  # the worker saw the process exit, and could not reap it
        fleet.server.drop_connections()
        until(lambda: worker.output.count("mingle: all alone") == 2, "the worker is connected again")
        until(lambda: worker.probe_succeeds("ready"), "the worker goes on, with one dead process among its own")
    assert fleet.send("note", "after").get() == "after"


def slow_to_start(fleet: Fleet, seconds: float) -> Process:
    """A worker of the sample application, each process of which has something to load before its first task."""
    (fleet.folder / "slow.py").write_text(
        "import time\nfrom celery import signals\nfrom sample import app\n"
        f"signals.worker_process_init.connect(lambda **_more: time.sleep({seconds}), weak=False)\n"
    )
    return fleet.worker(CELERY_APP="slow")


def test_a_connection_that_drops_while_the_worker_starts_is_made_anew(fleet: Fleet) -> None:
    worker = fleet.start("worker", "--queues", "default", "--concurrency", "1")
    until(lambda: "mingle: searching" in worker.output, "the worker is connected, and not in its event loop")
    for _ in range(5):
        fleet.server.drop_connections()
        time.sleep(0.1)
    worker.wait_ready()
    assert "Restoring" not in worker.output
    assert fleet.send("note", "after").get() == "after"


def test_a_connection_that_drops_while_the_worker_publishes_is_made_anew(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "refused"
    worker = fleet.worker(CELERY_APP="refused", REFUSED_FILE=str(file))
    file.touch()
    fleet.server.drop_connections()
    until(lambda: not file.exists(), "publishing failed")
    assert fleet.send("echo", "after").get() == "after", "the worker ended, and with it what it ran"
    assert worker.popen.poll() is None


def test_a_process_that_is_slow_to_start_is_waited_for_after_a_dropped_connection(fleet: Fleet) -> None:
    worker = slow_to_start(fleet, 6)
    sent = fleet.send("sleep", "long", 3)
    until(lambda: starts(fleet), "the task runs")
    fleet.server.drop_connections()
    until(lambda: sent.ready() or UP_TIMEOUT in worker.output, "the task is run again")
    assert UP_TIMEOUT not in worker.output, "no process gets as far as its first task: the queue stands still"
    assert sent.get() == "long"


def test_a_process_that_starts_in_an_outage_of_the_broker_is_waited_for(fleet: Fleet) -> None:
    worker = slow_to_start(fleet, 2)
    fleet.send("sleep", "before", 0).get()
    before = int(fleet.server.journal()[0].split()[-1])
    os.kill(before, signal.SIGKILL)
    until(lambda: set(process_tree(worker.pid)) - {worker.pid, before}, "another process begins in its place")
    fleet.server.stop()
    time.sleep(5.0)
    fleet.server.start()
    assert fleet.send("note", "after").get() == "after"
    assert UP_TIMEOUT not in worker.output


def test_tasks_survive_an_outage_of_the_broker_and_need_no_visibility_timeout(fleet: Fleet) -> None:
    worker = fleet.worker(concurrency="2")
    sent = [fleet.send("sleep", str(number), 5) for number in range(3)]
    until(lambda: sum(starts(fleet).values()) == 2, "two tasks run")
    fleet.server.stop()
    until(lambda: not worker.probe_succeeds("ready"), "the worker says that it is not ready")
    time.sleep(4)
    assert worker.probe_succeeds("live"), "the outage would end a worker that waits for the broker"
    fleet.server.start()
    assert [result.get() for result in sent] == ["0", "1", "2"], "what ran when the broker went waits for half an hour"
    until(lambda: worker.probe_succeeds("ready"), "the worker is ready again")
    assert worker.popen.poll() is None


def test_no_sender_and_no_task_may_exceed_the_queues_hard_limit(fleet: Fleet) -> None:
    from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

    fleet.worker(concurrency="2", **{**SHORT, "ALPHASWARM_TIME_LIMIT": "2"})
    soft = fleet.send("leave_marks", os.devnull, 30, time_limit=1000, soft_time_limit=900)
    hard = fleet.send("ignore_soft_limit", 30, time_limit=1000)
    with pytest.raises(SoftTimeLimitExceeded):
        soft.get()
    with pytest.raises(TimeLimitExceeded):
        hard.get()
    with fleet.server.client() as client:
        until(lambda: client.hlen(keys.unacked("default")) == 0, "a task that exceeded its limit is not run again")


def test_sigterm_before_the_worker_is_ready_ends_it_at_once(fleet: Fleet) -> None:
    starting = fleet.start(
        "worker", "--queues", "default", CELERY_BROKER_URL="redis://127.0.0.1:1/0", ALPHASWARM_BROKER_WAIT="60"
    )
    until(lambda: "does not answer" in starting.output, "the worker waits for its broker")
    starting.popen.send_signal(signal.SIGTERM)
    assert starting.wait(within=30) == 0, "it sits out its wait for the broker, which is 60 s"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv to be somebody else"
)
def test_a_user_without_a_name_in_the_images_group_can_run_it(fleet: Fleet) -> None:
    shared = fleet.folder / "shared"
    shared.mkdir()
    os.chown(shared, 0, 65532)
    shared.chmod(0o770)
    # It may read what root may, because the interpreter may lie in root's home; it may write nothing but the folder.
    reading = "-all,+dac_read_search"
    nobody = ("setpriv", "--reuid=123456", "--regid=65532", "--clear-groups", f"--inh-caps={reading}")
    worker = fleet.start_by(
        (*nobody, f"--ambient-caps={reading}"), "worker", "--queues", "default", "--concurrency", "1",
        ALPHASWARM_STATE_DIR=str(shared / "state"), HOME="/nowhere",
    ).wait_ready()  # fmt: skip
    assert (shared / "state").stat().st_uid == 123456
    assert fleet.send("note", "somebody").get() == "somebody"
    worker.terminate()
    assert worker.wait() == 0
