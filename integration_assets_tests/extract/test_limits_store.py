"""What all runs share is shared by processes and machines, survives kills, and says what is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest

from integration_assets.errors import HumanNeededError, LimitsStoreError, LimitsUnavailableError, RescheduleError, SpecError
from integration_assets.extract.limits import MemoryStore, Store, open_store, rules
from integration_assets.extract.limits.files import FileStore
from integration_assets.extract.limits.state import State
from integration_assets.settings import Settings
from integration_assets.spec import Limits
from integration_assets_tests.inbox.postgres import postgres

COUNT = """
import sys
from integration_assets.extract.limits import open_store, rules
from integration_assets.spec import Limits
with open_store(sys.argv[1]) as store:
    for _ in range(int(sys.argv[2])):
        store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
"""
HOLD = """
import sys
from integration_assets.extract.limits import open_store, rules
from integration_assets.spec import Limits
store = open_store(sys.argv[1])
asker = rules.Asker(store.owner, "held", hold=10_000, patience=1)
print(type(store.update("shop-1", lambda state, now: rules.turn(state, now, Limits(concurrent=1), asker))).__name__, flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A Postgres server."""
    with postgres() as uri:
        yield uri


@pytest.fixture(params=["folder", "postgres"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of store that processes share, with nothing in it."""
    if request.param == "folder":
        return str(tmp_path / "limits")
    found: str = request.getfixturevalue("database")
    with open_store(found) as store:
        store.update("shop-1", lambda _state, _now: None)
        empty = State()
        store.update(
            "shop-1", lambda state, _now: [setattr(state, name, getattr(empty, name)) for name in State.__struct_fields__]
        )
    return found


def total(store: Store, key: str = "shop-1") -> int:
    """How many answers were counted."""
    return sum(count.answered for count in store.look(key)[0].counts)


@contextmanager
def run(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, that ends with the block."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def holding(uri: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the account's one slot, for hours if nobody ends it."""
    with run(HOLD, uri) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "Go\n"
        yield holder


def test_no_change_is_lost_among_processes_and_threads(uri: str) -> None:
    """Four processes and four threads change one account at once, and every change is there."""
    with open_store(uri) as store, ExitStack() as stack:
        workers = [stack.enter_context(run(COUNT, uri, "50")) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(lambda _: store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1)), range(200))
            )
        assert [worker.wait(60) for worker in workers] == [0] * 4
    with open_store(uri) as store:
        assert total(store) == 400


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_a_process_that_ends_leaks_no_slot(uri: str, end: str) -> None:
    """The slot of a process that was killed is free for the next one at once, not when its time is up."""
    limits = Limits(concurrent=1)
    with holding(uri) as holder, open_store(uri) as store:
        asker = rules.Asker(store.owner, "mine", hold=10, patience=1, alive=store.alive)

        def ask() -> str:
            return type(store.update("shop-1", lambda state, now: rules.turn(state, now, limits, asker))).__name__

        assert ask() == "Wait"
        if end == "kill":
            holder.kill()
        else:
            holder.communicate("end\n")
        holder.wait(30)
        deadline = monotonic() + 20  # a database has to notice that the connection is gone
        while (got := ask()) != "Go" and monotonic() < deadline:
            pass
        assert got == "Go"


def test_a_change_that_fails_changes_nothing(uri: str) -> None:
    """An error in the middle of a change leaves the state as it was, and the store open for the next one."""

    def broken(state: State, now: float) -> None:
        rules.answered(state, now, Limits(), 1)
        message = "no"
        raise ValueError(message)

    with open_store(uri) as store:
        store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        with pytest.raises(ValueError, match="no"):
            store.update("shop-1", broken)
        store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        assert total(store) == 2


def test_accounts_are_apart_and_listed(uri: str) -> None:
    """What one account costs is not charged to another, and all are shown."""
    with open_store(uri) as store:
        store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        store.update("other-2", lambda state, now: rules.answered(state, now, Limits(), 5))
        assert (total(store), total(store, "other-2")) == (1, 5)
        assert {"other-2", "shop-1"} <= {key for key, _, _ in store.all()}


def test_a_closed_store_is_not_used(uri: str) -> None:
    """A thread that still waits when its run ends is told so, instead of opening the store again."""
    with open_store(uri) as store:
        store.update("shop-1", lambda _state, _now: None)
    with pytest.raises(LimitsUnavailableError, match="closed"):
        store.update("shop-1", lambda _state, _now: None)


def test_a_store_that_closes_under_a_change_writes_into_no_other_file(tmp_path: Path) -> None:
    """A change that is under way when the store closes is finished first; whoever comes later is sent away, looks too."""
    changing, go_on = Event(), Event()

    def slow(state: State, now: float) -> None:
        changing.set()
        assert go_on.wait(20)
        rules.answered(state, now, Limits(), 1)

    store = FileStore(tmp_path / "limits")
    store.update("shop-1", lambda _state, _now: None)
    (document,) = store._files.values()
    with ThreadPoolExecutor(2) as pool:
        change = pool.submit(store.update, "shop-1", slow)
        assert changing.wait(20)
        closing = pool.submit(store.close)
        while not (store._closed or closing.done()):
            sleep(0.001)
        with ExitStack() as stack:  # these take the numbers that were closed
            others = [stack.enter_context((tmp_path / f"other-{number}").open("w+b")) for number in range(4)]
            go_on.set()
            change.result(20)
            closing.result(20)
            others += [stack.enter_context((tmp_path / f"later-{number}").open("w+b")) for number in range(4)]
            with pytest.raises(LimitsUnavailableError, match="closed"):
                document.glance()
            with pytest.raises(LimitsUnavailableError, match="closed"), document.locked():
                document.write(State())
        assert [Path(other.name).stat().st_size for other in others] == [0] * 8
    with FileStore(tmp_path / "limits") as again:
        assert total(again) == 1


def test_a_forked_child_that_closes_leaves_its_parent_s_presence(tmp_path: Path) -> None:
    """What the parent holds is not taken for a dead process's when a child of a fork closes the store."""
    with FileStore(tmp_path) as store, FileStore(tmp_path) as other:
        store.update("shop-1", lambda _state, _now: None)
        child = os.fork()
        if not child:
            try:
                store.close()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert other.alive(store.owner)


def test_a_change_that_was_cut_off_leaves_the_one_before(tmp_path: Path) -> None:
    """Whatever part of a change reached the file, the state is the old one or the new one."""
    with FileStore(tmp_path) as store:
        for _ in range(5):
            store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
    path = tmp_path / "shop-1.limits"
    whole = path.read_bytes()
    newest = max((0, 65536), key=lambda start: int.from_bytes(whole[start + 4 : start + 8], "little"))
    for cut in (2, 6, 14, 20, 60):
        path.write_bytes(whole[: newest + cut] + b"\0" * (len(whole) - newest - cut))
        with FileStore(tmp_path) as store:
            assert total(store) in {4, 5}
            store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
            assert total(store) in {5, 6}


def test_a_first_change_that_was_cut_off_is_none(tmp_path: Path) -> None:
    """A run that dies in the very first write of a file leaves nothing that another one has to remove."""
    path = tmp_path / "shop-1.limits"
    for kept in (0, 1, 10, 17, 40):
        path.unlink(missing_ok=True)
        with FileStore(tmp_path) as store:
            store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        path.write_bytes(path.read_bytes()[: 65536 + kept])
        with FileStore(tmp_path) as store:
            assert total(store) == 0
            store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
            assert total(store) == 1


def test_a_damaged_file_is_named_and_never_taken_for_no_limits(tmp_path: Path) -> None:
    """A file that holds neither copy is an error with its path and what to do; once removed, limits start anew."""
    path = tmp_path / "shop-1.limits"
    path.write_bytes(b"rubbish" * 30_000)
    with FileStore(tmp_path) as store:
        with pytest.raises(LimitsStoreError, match=r"shop-1\.limits is damaged.*Remove the file"):
            store.look("shop-1")
        with pytest.raises(LimitsStoreError):
            store.update("shop-1", lambda _state, _now: None)
        path.unlink()
        store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        assert total(store) == 1


def test_a_folder_that_is_removed_splits_nobody(tmp_path: Path) -> None:
    """When someone cleans the folder, two who had it open meet again in the new one."""
    with FileStore(tmp_path / "limits") as one, FileStore(tmp_path / "limits") as two:
        for store in (one, two):
            store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        (tmp_path / "limits" / "shop-1.limits").unlink()
        for store in (one, two):
            store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        assert (total(one), total(two)) == (2, 2)


@pytest.mark.parametrize("where", ["/proc/limits", "/dev/null/limits"])
def test_a_folder_that_cannot_be_written_needs_a_human(where: str) -> None:
    """The error names the folder and the setting, before anything is asked."""
    with open_store(where) as store, pytest.raises(LimitsStoreError, match=rf"INTEGRATION_LIMITS_URI.*{where}") as refused:
        store.look("shop-1")
    assert isinstance(refused.value, HumanNeededError)


def test_a_forked_child_shares_no_lock_with_its_parent(tmp_path: Path) -> None:
    """After a fork the child opens the files itself: its changes and its parent's are all there."""
    with FileStore(tmp_path) as store:
        store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        child = os.fork()
        if not child:
            try:
                for _ in range(200):
                    store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
            finally:
                os._exit(0)
        for _ in range(200):
            store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        assert os.waitpid(child, 0)[1] == 0
        assert total(store) == 401


def test_what_dead_processes_left_behind_is_swept(tmp_path: Path) -> None:
    """The presence files of killed processes do not pile up."""
    with holding(str(tmp_path)):
        pass
    assert len(list((tmp_path / "alive").iterdir())) == 1
    with FileStore(tmp_path) as store:
        store.update("shop-1", lambda _state, _now: None)
        assert [path.name for path in (tmp_path / "alive").iterdir()] == [store.owner]
    assert list((tmp_path / "alive").iterdir()) == []


def test_a_database_that_is_away_reschedules_and_shows_no_password() -> None:
    """Nothing listens there: the run is told to come later, and the password is not in the error."""
    with open_store("postgresql://someone:s3cr3t-word@127.0.0.1:9/limits") as store:
        with pytest.raises(RescheduleError, match="does not answer") as away:
            store.look("shop-1")
        with pytest.raises(LimitsUnavailableError):
            store.update("shop-1", lambda _state, _now: None)
    assert "s3cr3t" not in f"{away.value}{away.value.__cause__}{away.value.__context__}"


def test_a_lost_session_is_opened_again(database: str) -> None:
    """When the server ends the session, the next change opens another and nothing is said."""
    import psycopg2  # type: ignore[import-untyped]

    with open_store(database) as store:
        store.update("lost-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        with psycopg2.connect(database) as other, other.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'integration_assets limits'"
            )
        other.close()
        store.update("lost-1", lambda state, now: rules.answered(state, now, Limits(), 1))
        assert total(store, "lost-1") == 2


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("redis://somewhere", "cannot be kept in redis"),
        ("", "cannot be kept in nothing"),
        ("postgresql://u:p@ss@host/db", "an @ in its user or password"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, what: str) -> None:
    """A wrong setting is named with what it may be, and nothing of it that may be a password is shown."""
    with pytest.raises(SpecError, match=rf"INTEGRATION_LIMITS_URI.*{what}") as refused:
        open_store(address)
    assert "p@ss" not in str(refused.value)


def test_the_default_is_the_user_s_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting it is the same folder from wherever a command is run, and no password of a setting is shown."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Settings.from_environ({}).limits_uri == str(tmp_path / "integration_assets" / "limits")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert Settings.from_environ({}).limits_uri == "~/.local/state/integration_assets/limits"
    given = Settings.from_environ({"INTEGRATION_LIMITS_URI": "postgresql://u:word@h/d"})
    assert given.limits_uri == "postgresql://u:word@h/d"


def test_memory_is_shared_by_threads_only() -> None:
    """The store for tests and looks counts as the others do, and leaves nothing behind."""
    with MemoryStore() as store:
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(lambda _: store.update("shop-1", lambda state, now: rules.answered(state, now, Limits(), 1)), range(100))
            )
        assert total(store) == 100
        assert [key for key, _, _ in store.all()] == ["shop-1"]
