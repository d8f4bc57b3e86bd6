"""What follows from what a sensor saw and from what became of its runs; without Dagster and without a clock."""

from __future__ import annotations

from integration_assets.orchestrate.sensors.memory import FIRST_WAIT, LONGEST_WAIT, Memory, Sighting


def pulled(value: str, at: float) -> Memory:
    """A memory of which everything was pulled at a moment."""
    return Memory().look(Sighting(value), at).ask("run", at).settle("succeeded", at)


def test_the_first_look_is_a_change() -> None:
    """Nobody knows what changed before a sensor was switched on, so the first look asks for a run at once."""
    assert not Memory().due
    memory = Memory().look(Sighting("a"), 100)
    assert memory.due
    assert memory.first == 0


def test_a_change_is_done_with_when_its_run_succeeded() -> None:
    """A change stays due while its run is under way, and no longer."""
    memory = pulled("a", 100).look(Sighting("b"), 200)
    assert memory.due
    assert memory.ask("run 2", 200).settle("underway", 210).run_key == "run 2"
    assert not memory.ask("run 2", 200).settle("succeeded", 220).due


def test_what_changed_and_changed_back_is_a_change() -> None:
    """A count that rose and fell again says that records came and went, although it is the same number."""
    memory = pulled("a", 100).look(Sighting("b"), 200).look(Sighting("a"), 300)
    assert memory.due
    assert memory.ask("run 2", 300).number == 2


def test_a_failed_run_loses_no_change_and_is_asked_for_ever_later() -> None:
    """The change stays due; the waits double up to a limit, and a success ends them."""
    memory, waits = pulled("a", 0).look(Sighting("b"), 1), []
    for _ in range(9):
        memory = memory.ask("run", 1).settle("failed", 1000)
        assert memory.due
        waits.append(memory.again - 1000)
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT
    assert memory.ask("run", 1).settle("succeeded", 2000).failed == 0


def test_a_change_that_the_run_could_not_see_yet_stays_due() -> None:
    """A run that pulled up to 150 leaves what was noticed at 200; it waits for the last part and not for each."""
    memory = pulled("a", 100).look(Sighting("b"), 140).look(Sighting("c"), 200).ask("run 2", 150).settle("succeeded", 210)
    assert memory.due
    assert memory.first == 200


def test_changes_that_go_on_do_not_put_off_the_first() -> None:
    """A feed that changes all the time is due since its first change."""
    memory = pulled("a", 100).look(Sighting("b"), 200).look(Sighting("c"), 300).look(Sighting("d"), 400)
    assert (memory.first, memory.until) == (200, 400)


def test_a_change_whose_moment_is_known_is_due_by_it() -> None:
    """A file that arrived at 150 and was noticed at 200 is pulled by a run that reaches 160, and not by one of 140."""
    memory = pulled("a", 100).look(Sighting("b", changed=150), 200)
    assert (memory.first, memory.until) == (150, 150)
    assert memory.ask("run", 140).settle("succeeded", 210).due
    assert not memory.ask("run", 160).settle("succeeded", 210).due


def test_where_there_is_nothing_nothing_is_due() -> None:
    """An empty folder asks for no run; its first file does."""
    memory = Memory().look(Sighting(None), 100)
    assert not memory.due
    assert memory.look(Sighting("a", changed=150), 200).due
