from prometheus_client import CollectorRegistry

from aurora_runtime.contract import Phase
from aurora_runtime.trainer.progress import Progress
from tests.unit.fakes.clock import FakeClock
from tests.unit.runtime.trainer.builders import a_progress


def test_a_run_begins_by_loading() -> None:
    current = a_progress().current
    assert (current.run_id, current.phase, current.percent) == ("uid-1-1-abc", Phase.LOADING, 0)


def test_phases_move_the_percentage_on() -> None:
    progress = a_progress()
    seen = []
    for phase in (Phase.FITTING, Phase.EVALUATING, Phase.CONVERTING, Phase.PUBLISHING):
        progress.begin(phase)
        seen.append(progress.current.percent)
        progress.advance(0.5)
        seen.append(progress.current.percent)
        progress.advance(1.0)
    assert seen == sorted(seen)
    assert seen[0] == 5
    assert progress.current.percent == 100


def test_the_percentage_never_goes_back() -> None:
    progress = a_progress()
    progress.begin(Phase.FITTING)
    progress.advance(0.6)
    before = progress.current.percent
    progress.advance(0.2)
    assert progress.current.percent == before == 50


def test_a_snapshot_does_not_change() -> None:
    progress = a_progress()
    before = progress.current
    progress.begin(Phase.FITTING)
    assert before.phase is Phase.LOADING


async def test_metrics_tell_the_share_done_and_the_seconds_of_each_phase() -> None:
    clock, registry = FakeClock(), CollectorRegistry()
    progress = Progress(run_id="r", clock=clock, registry=registry)
    await clock.advance(2.5)
    progress.begin(Phase.FITTING)
    await clock.advance(60)
    progress.begin(Phase.EVALUATING)
    assert registry.get_sample_value("aurora_training_phase_seconds", {"phase": "Loading"}) == 2.5
    assert registry.get_sample_value("aurora_training_phase_seconds", {"phase": "Fitting"}) == 60
    assert registry.get_sample_value("aurora_training_progress_ratio") == 0.8
