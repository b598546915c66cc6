"""Runs that are kept: read back as they were, continued bit for bit, refused to other models."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path

import numpy as np
import pytest

import probad as pb
from probad import dist, runs
from probad.errors import ArgumentError, StoreError
from probad.inference import draw_posterior
from probad.mcmc import NUTS, Algorithm, chains, drivers, sample_chains
from probad.output import group_names
from probad.store import Contents, Writer, arrays, writer
from tests.store.runs import Bell, Stopping, assert_same, bound, heavy, line, quietly

ROOT = Path(__file__).parents[2]
SAMPLERS = {
    "nuts": (pb.nuts, {}),
    "nuts, Stan's": (pb.nuts, {"adaptation": "stan", "metric": "diag"}),
    "nuts, low-rank": (pb.nuts, {"metric": "low-rank"}),
    "generalised hmc": (pb.hmc, {"n_steps": 2, "refreshment": 0.5, "jitter": 0.5}),
    "mams": (pb.mams, {}),
    "metropolis": (pb.metropolis, {}),
    "elliptical slice": (pb.elliptical_slice, {"prior_cov": 2.0}),
}


SLOW = pytest.mark.slow  # the same proof once more
RIEMANNIAN = {"RMHMC", "ManifoldMALA"}  # need functions to differentiate; they have a test of their own
SOME_SAMPLERS = [
    s if s in ("nuts", "nuts, low-rank", "elliptical slice") else pytest.param(s, marks=SLOW) for s in SAMPLERS
]
WAYS = ["compiled", pytest.param("python", marks=SLOW)]


@pytest.fixture(params=WAYS)
def both_ways(request, monkeypatch):
    """The test runs with the kernels compiled, and again with Python alone."""
    monkeypatch.setenv("PROBAD_COMPILE", "1" if request.param == "compiled" else "0")


MORE_CALLS = (600, 1000, 1400, 1700, 2050, 2200)  # all of them while the run goes on


@pytest.fixture
def at_once(monkeypatch):
    """Each chain is committed after each chunk of a few draws, before it goes on."""
    monkeypatch.setattr(writer, "COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(writer, "DUTY", 1e9)
    monkeypatch.setattr(drivers, "CHUNK_SECONDS", 0.005)
    monkeypatch.setattr(arrays, "synchronise", lambda path: None)  # no power will be cut

    def submit_and_wait(self, work, *arguments):
        submit(self, work, *arguments)
        wait(self._jobs)

    submit = Writer._submit
    monkeypatch.setattr(Writer, "_submit", submit_and_wait)


@pytest.mark.parametrize("sampler", SOME_SAMPLERS)
def test_a_store_gives_the_result_of_the_run(sampler, tmp_path):
    sample, options = SAMPLERS[sampler]
    options = {**options, "draws": 30, "warmup": 40, "chains": 2, "seed": 1}
    path = tmp_path / "run.zarr"
    model = bound()
    post = quietly(sample, model, store=path, keep_warmup=True, keep_unconstrained=True, **options)
    assert_same(quietly(sample, model, keep_warmup=True, keep_unconstrained=True, **options), post)
    assert_same(pb.read_store(path, model), post, attrs=True)
    assert_same(quietly(pb.resume, path, bound()), post)
    assert_same(pb.read_store(str(path), model), post)


@pytest.mark.parametrize("sampler", SOME_SAMPLERS)
@pytest.mark.usefixtures("both_ways")
def test_a_finished_run_is_made_longer_and_wider(sampler, tmp_path):
    sample, options = SAMPLERS[sampler]
    options = {**options, "warmup": 30, "seed": 3, "init": np.full(3, 0.3), "store": tmp_path / "run.zarr"}
    quietly(sample, Bell(), draws=20, chains=2, **options)
    assert_same(
        quietly(pb.resume, tmp_path / "run.zarr", Bell(), draws=1100, chains=3),
        quietly(sample, Bell(), draws=1100, chains=3, **{**options, "store": None}),
    )
    again = quietly(pb.resume, tmp_path / "run.zarr", Bell())
    assert (again["posterior"].sizes["chain"], again["posterior"].sizes["draw"]) == (3, 1100)


def test_a_store_is_read_without_its_model(tmp_path):
    path = tmp_path / "run.zarr"
    post = quietly(pb.nuts, bound(), store=path, keep_unconstrained=True, draws=20, warmup=20, chains=2, seed=1)
    alone = pb.read_store(path)
    assert sorted(group_names(alone)) == ["sample_stats", "unconstrained_posterior"]
    for group in group_names(alone):
        for name in alone[group].data_vars:
            np.testing.assert_array_equal(alone[group][name].values, post[group][name].values)
    labels = alone["unconstrained_posterior"]["coordinate"].values
    assert labels.tolist() == post["unconstrained_posterior"]["coordinate"].values.tolist()
    assert alone["sample_stats"].attrs["seed"] == 1


def test_options_that_are_arrays_are_kept(tmp_path):
    cases = {
        "a": (pb.nuts, {"metric": np.array([1.0, 2.0, 0.5])}),
        "b": (pb.mams, {"metric": np.eye(3) + 0.5}),
        "c": (pb.elliptical_slice, {"prior_cov": np.full(3, 2.0), "prior_mean": np.array([0.1, 0.2, 0.3])}),
    }
    for name, (sample, options) in cases.items():
        options = {**options, "warmup": 10, "seed": 1}
        quietly(sample, Bell(), draws=10, chains=1, store=tmp_path / name, **options)
        longer = quietly(pb.resume, tmp_path / name, Bell(), draws=20, chains=2)
        assert_same(longer, quietly(sample, Bell(), draws=20, chains=2, **options), attrs=False)


@pytest.mark.parametrize("calls", [200, 2000, *(pytest.param(n, marks=SLOW) for n in MORE_CALLS)])
@pytest.mark.usefixtures("at_once")
def test_a_choice_between_samplers_is_continued(calls, tmp_path, monkeypatch):
    """Chains that wait for each other are committed together, so that none has met the others twice."""
    options = {"draws": 60, "warmup": 200, "chains": 3, "seed": 2}
    path = tmp_path / "run.zarr"
    with contextlib.suppress(KeyboardInterrupt):
        quietly(pb.fit, Stopping(calls), store=path, **options)
    before = Contents(path)
    assert min(entry.done for entry in before.entries if entry is not None) < 260
    resumed, whole = quietly(pb.resume, path, Bell()), quietly(pb.fit, Bell(), **options)
    assert_same(resumed, whole)
    told = resumed["posterior"].attrs
    assert {k: v for k, v in whole["posterior"].attrs.items() if "choice" in k or "ess" in k}.items() <= told.items()
    assert "sampler_choice" in told
    assert_same(pb.read_store(path, Bell()), resumed, attrs=True)
    assert Contents(path).met == 5
    with pytest.raises(ArgumentError, match="chains of Choice decide together"):
        pb.resume(path, Bell(), chains=4)
    print(calls, before.met)


@pytest.mark.parametrize("name", sorted(set(runs._samplers(Algorithm)) - RIEMANNIAN))
@pytest.mark.usefixtures("at_once")
def test_every_sampler_there_is_can_be_continued(name, tmp_path):
    """Interrupted in warm-up and again among the draws; what a sampler keeps elsewhere would show."""
    algorithm, path = runs._samplers(Algorithm)[name](), tmp_path / "run.zarr"

    def run(density, **options):
        counts = {"draws": 100, "warmup": 220, "chains": 2}
        keep = {"keep_warmup": False, "keep_unconstrained": False}
        return draw_posterior(density, algorithm, 4, None, False, counts=counts, **keep, **options)

    with contextlib.suppress(KeyboardInterrupt):
        quietly(lambda progress: run(Stopping(300), store=path))
    with contextlib.suppress(KeyboardInterrupt):
        quietly(pb.resume, path, Stopping(600))
    assert Contents(path).entries[0] is not None
    assert_same(quietly(pb.resume, path, Bell()), quietly(lambda progress: run(Bell())))


@pytest.mark.parametrize("calls", [150, 700, 1300])
@pytest.mark.usefixtures("both_ways", "at_once")
def test_an_interrupted_run_is_continued_bit_for_bit(calls, tmp_path):
    """In the midst of warm-up, in the midst of the draws; what was returned is what is stored."""
    options = {"draws": 200, "warmup": 60, "chains": 2, "seed": 2, "cores": 1}
    path = tmp_path / "run.zarr"
    try:
        cut = quietly(pb.nuts, Stopping(calls), store=path, **options)
    except KeyboardInterrupt:
        with pytest.raises(StoreError, match=r"has no draws to read yet\. Interrupted during warm-up"):
            pb.read_store(path, Bell())
    else:
        assert cut["posterior"].sizes["draw"] < 200
        assert_same(pb.read_store(path, Bell()), cut, attrs=True)
    whole = quietly(pb.nuts, Bell(), **options)
    assert_same(quietly(pb.resume, path, Bell()), whole)
    assert_same(pb.read_store(path, Bell()), whole)


@pytest.mark.usefixtures("both_ways", "at_once")
def test_a_run_whose_density_fails_keeps_its_draws(tmp_path):
    path = tmp_path / "run.zarr"
    options = {"draws": 200, "warmup": 60, "chains": 2, "seed": 2}
    with pytest.raises(ZeroDivisionError):
        quietly(pb.nuts, Stopping(1500, ZeroDivisionError), store=path, **options)
    assert pb.read_store(path, Bell())["posterior"].sizes["draw"] > 5
    assert_same(quietly(pb.resume, path, Bell()), quietly(pb.nuts, Bell(), **options))


SIGNALLED = """
import os, signal, sys, threading, time, warnings
import numpy as np
import probad as pb
from probad import inference
from tests.store.runs import Bell, heavy
warnings.simplefilter("ignore")
sent, returned = [], []
sample_chains = inference.sample_chains
def timed(*args, **options):
    try:
        return sample_chains(*args, **options)
    finally:
        returned.append(time.perf_counter())
inference.sample_chains = timed
class Slow(Bell):
    n_calls = 0
    def logp_and_grad(self, z):
        Slow.n_calls += 1
        if Slow.n_calls == 4000:
            threading.Thread(target=send).start()
        return super().logp_and_grad(z)
def send():
    time.sleep(0.05)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
def wait():
    while not os.path.exists(sys.argv[1]):  # the sampler is at work then
        time.sleep(0.01)
    time.sleep(0.05)
    send()
native = sys.argv[2] == "native"
if native:
    threading.Thread(target=wait).start()
post = pb.nuts(heavy() if native else Slow(), draws=100_000, warmup=100, chains=2, seed=9, store=sys.argv[1],
    progress=False)
print(post["posterior"].sizes["draw"], returned[0] - sent[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
@pytest.mark.parametrize("kind", ["native", pytest.param("callback", marks=SLOW)])
def test_ctrl_c_leaves_a_store_that_can_be_continued(kind, tmp_path):
    """A real signal during native code and during calls of Python."""
    path = tmp_path / "run.zarr"
    command = [sys.executable, "-c", SIGNALLED, str(path), kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    n_draws, seconds = done.stdout.split()
    print(done.stdout)
    assert 0 < int(n_draws) < 100_000
    assert float(seconds) < 5.0  # half a second on a machine with nothing else to do; the summary comes after that
    density = heavy() if kind == "native" else Bell()
    stored = pb.read_store(path, density)["posterior"]
    assert stored.sizes["draw"] == int(n_draws)
    content = json.loads((path / "commit.json").read_text())
    assert all(chain["done"] >= int(n_draws) for chain in content["chains"])
    contents = Contents(path)  # to the end it would take long: a part shows that states and draws fit
    writer_ = Writer(path, resumed=True)
    result = sample_chains(
        density, NUTS(), draws=100_000, warmup=100, chains=2, seed=9, recorder=writer_, progress=Stopper(path, contents)
    )
    writer_.close()
    whole = sample_chains(density, NUTS(), draws=result.draws.shape[1], warmup=100, chains=2, seed=9)
    assert result.draws.shape[1] > int(n_draws)
    np.testing.assert_array_equal(result.draws, whole.draws)


class Stopper:
    """Progress of a run that the user stops some draws after all chains have passed what was stored."""

    def __init__(self, path, contents):
        self.goals = {number: entry.done + 20 for number, entry in enumerate(contents.entries)}

    def __call__(self, chain, done, *_):
        if done > self.goals.get(chain, done):
            del self.goals[chain]
        if not self.goals:
            raise KeyboardInterrupt


def test_ctrl_c_while_the_last_draws_are_written_does_not_lose_the_result(tmp_path, monkeypatch):
    def interrupted(jobs):
        wait(jobs)
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "wait", interrupted)
    post = quietly(pb.nuts, Bell(), draws=20, warmup=10, chains=2, seed=1, store=tmp_path / "run.zarr")
    assert_same(post, quietly(pb.nuts, Bell(), draws=20, warmup=10, chains=2, seed=1))


@pytest.mark.usefixtures("at_once")
def test_more_chains_start_where_the_user_said(tmp_path):
    options = {"draws": 10, "warmup": 10, "seed": 4}
    quietly(pb.nuts, Bell(), chains=1, init=np.array([0.1, 0.2, 0.3]), store=tmp_path / "a", **options)
    wide = quietly(pb.resume, tmp_path / "a", Bell(), chains=2)
    assert_same(wide, quietly(pb.nuts, Bell(), chains=2, init=np.array([0.1, 0.2, 0.3]), **options))
    quietly(pb.nuts, Bell(), chains=2, init=np.zeros((2, 3)), store=tmp_path / "b", **options)
    with pytest.raises(ArgumentError, match="given a start for each of its 2 chains"):
        pb.resume(tmp_path / "b", Bell(), chains=3)
    for init in ("map", "prior"):  # these are found by seed and number of the chain
        quietly(pb.nuts, _normal(Y), chains=1, init=init, store=tmp_path / init, **options)
        wide = quietly(pb.resume, tmp_path / init, _normal(Y), chains=3)
        assert_same(wide, quietly(pb.nuts, _normal(Y), chains=3, init=init, **options))


@pytest.mark.usefixtures("at_once")
def test_what_is_beyond_the_last_commit_is_overwritten(tmp_path):
    options = {"draws": 1500, "warmup": 60, "chains": 2, "seed": 2, "cores": 1}
    path = tmp_path / "run.zarr"
    quietly(pb.nuts, Stopping(6500), store=path, **options)
    entry = Contents(path).entries[1]
    assert 60 < entry.done < 1560
    chunk = path / "draws" / "c" / "1" / str(entry.done // Contents(path).chunk_rows + 1) / "0"
    chunk.parent.mkdir(exist_ok=True)
    chunk.write_bytes(b"torn")
    left = path / "draws" / "c" / "1" / "0" / "0.123.partial"
    left.write_bytes(b"half")
    slot = path / "state" / "rows" / "c" / "1" / str(1 - entry.slot) / "0" / "0"
    slot.write_bytes(slot.read_bytes()[:20])
    assert_same(quietly(pb.resume, path, Bell()), quietly(pb.nuts, Bell(), **options))
    assert not left.exists()


@pytest.mark.usefixtures("at_once")
def test_a_machine_with_other_last_bits_goes_on_from_the_state(tmp_path):
    """Draws between the state and the interrupt are computed again; where they differ, the new ones count."""
    options = {"draws": 3000, "warmup": 60, "chains": 1, "seed": 2}
    for calls in (5000, 5011, 5022):  # now and then a state is kept just before the interrupt
        path = tmp_path / f"{calls}.zarr"
        quietly(pb.nuts, Stopping(calls), store=path, **options)
        entry = Contents(path).entries[0]
        if entry.iteration < entry.done:
            break
    assert 60 < entry.iteration < entry.done
    other = quietly(pb.resume, path, Bell(factor=1.0 + 1e-13))["posterior"]["x"].values[0]
    whole = quietly(pb.nuts, Bell(), **options)["posterior"]["x"].values[0]
    same = entry.iteration - 60
    np.testing.assert_array_equal(other[:same], whole[:same])
    assert not np.array_equal(other, whole)
    np.testing.assert_array_equal(pb.read_store(path, Bell())["posterior"]["x"].values[0], other)


def _banana(z):
    return -(z[0] ** 2) / 8 - 2 * (z[1] - 0.25 * z[0] ** 2) ** 2


@pytest.mark.parametrize(
    ("name", "settings"), [("rmhmc", {}), ("rmhmc", {"integrator": "midpoint"}), ("manifold_mala", {})]
)
def test_riemannian_runs_are_kept_too(tmp_path, name, settings):
    sampler, density = getattr(pb, name), pb.LogDensity.from_function(_banana, 2)
    options = {"warmup": 20, "seed": 3, **settings}
    whole = quietly(sampler, density, draws=40, chains=2, **options)
    quietly(sampler, density, draws=25, chains=2, store=tmp_path / "a", **options)
    assert_same(quietly(pb.resume, tmp_path / "a", density, draws=40), whole)
    with pytest.raises(ArgumentError, match="A store keeps no functions"):
        sampler(density, metric="fisher", metric_fn=np.diag, store=tmp_path / "b")


def test_any_reader_of_zarr_can_open_it(tmp_path):
    import zarr

    path = tmp_path / "run.zarr"
    post = quietly(pb.nuts, Bell(), draws=20, warmup=10, chains=2, seed=1, store=path)
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["draws"][:, 10:], post["posterior"]["x"].values)
    assert group["draws"].metadata.dimension_names == ("chain", "iteration", "coordinate")


def _normal(y, sd=2.0, name="mu", shape=()):
    @pb.model
    def normal(y):
        mu = pb.sample(name, dist.Normal(0.0, sd), shape=shape)
        pb.sample("y", dist.Normal(np.sum(mu), 1.0), obs=y)

    return normal(y)


Y = np.array([1.0, 2.0, 4.0])
OTHERS = {
    "other data": (lambda: _normal(np.array([1.0, 2.0, 5.0])), r"data 'y' has other values\."),
    "more data": (lambda: _normal(np.ones(4)), r"data 'y' has shape \[3\] there and \[4\] here\."),
    "data of another type": (lambda: _normal(np.array([1, 2, 4])), "data 'y' has type float64 there and int64 here"),
    "another prior": (lambda: _normal(Y, sd=3.0), r"the log density at fixed point 1 is -\d+\.\d+ there and -\d+"),
    "another name": (lambda: _normal(Y, name="nu"), r"it has (a|no) variable '(mu|nu)', which the model has"),
    "another shape": (lambda: _normal(Y, shape=(2,)), r"variable 'mu' has shape \[\] there and \[2\] in the model"),
    "no model": (lambda: Bell(1), "it has (a|no) variable"),
}


@pytest.fixture(scope="module")
def kept(memory):
    path = memory / "kept" / "run.zarr"
    quietly(pb.nuts, _normal(Y), draws=10, warmup=10, chains=1, seed=1, store=path)
    return path


@pytest.mark.parametrize("name", OTHERS)
def test_another_model_is_refused_by_the_difference(kept, name):
    other, words = OTHERS[name]
    for run in (pb.resume, pb.read_store):
        with pytest.raises(StoreError, match=f"was made with another model or other data: .*{words}"):
            run(kept, other())


def test_another_gradient_is_refused(tmp_path):
    path = tmp_path / "run.zarr"
    quietly(pb.nuts, Bell(), draws=10, warmup=10, chains=1, seed=1, store=path)

    class Wrong(Bell):
        def logp_and_grad(self, z):
            logp, grad = super().logp_and_grad(z)
            return logp, grad * [1.0, 1.0, 1.0 + 1e-7]

    with pytest.raises(StoreError, match=r"the derivative by 'x\[2\]' at fixed point 1"):
        pb.resume(path, Wrong())
    pb.read_store(path, Wrong())  # needs no derivatives


def test_labels_and_constants_count(tmp_path):
    path = tmp_path / "run.zarr"
    model = bound()
    quietly(pb.nuts, model, draws=10, warmup=10, chains=1, seed=1, store=path)
    with pytest.raises(StoreError, match="labels of dimension 'side' has other values"):
        pb.resume(path, line(model.args["x"], y=model.args["y"], coords={"side": ["left", "wrong"]}))
    with pytest.raises(StoreError, match="argument 'x' has other values"):
        pb.resume(path, line(model.args["x"] + 1e-12, y=model.args["y"], coords={"side": ["left", "right"]}))


@pytest.mark.parametrize("gradient", ["forward", pytest.param("richardson", marks=SLOW)])
def test_the_gradient_of_the_run_is_used_again(gradient, tmp_path):
    options = {"draws": 10, "warmup": 10, "chains": 1, "seed": 1, "gradient": gradient}
    quietly(pb.nuts, _normal(Y), store=tmp_path / "run.zarr", **options)
    longer = quietly(pb.resume, tmp_path / "run.zarr", _normal(Y), draws=15)
    assert_same(longer, quietly(pb.nuts, _normal(Y), **{**options, "draws": 15}))


def test_another_step_of_differences_is_refused(tmp_path):
    by_step = lambda step: pb.LogDensity.from_function(
        lambda z: -np.sum(np.cosh(z)), 2, gradient="central", difference_step=step
    )
    quietly(pb.nuts, by_step(1e-3), draws=10, warmup=10, chains=1, seed=1, store=tmp_path / "run.zarr")
    quietly(pb.resume, tmp_path / "run.zarr", by_step(1e-3), draws=15)
    with pytest.raises(StoreError, match=r"the derivative by 'x\[0\]'"):
        pb.resume(tmp_path / "run.zarr", by_step(1e-2), draws=20)


MISTAKES = {
    "no store": (lambda path: pb.resume(path / "none", _normal(Y)), StoreError, "there is no stored run here"),
    "nothing to read": (lambda path: pb.read_store(path / "none", _normal(Y)), StoreError, "no file commit.json"),
    "a store of a new run": (lambda path: pb.nuts(_normal(Y), store=path), StoreError, r"exists\. pb\.resume"),
    "fewer draws": (lambda path: pb.resume(path, _normal(Y), draws=5), ArgumentError, r"at least the 10 .*; got 5\.$"),
    "fewer chains": (lambda path: pb.resume(path, _normal(Y), chains=0), ArgumentError, "chains must be .* the 1 that"),
    "draws as text": (lambda path: pb.resume(path, _normal(Y), draws="9"), ArgumentError, "got '9'"),
    "no path": (lambda path: pb.nuts(_normal(Y), store=3), ArgumentError, "store must be the name of a folder; got 3"),
    "an empty path": (lambda path: pb.resume("", _normal(Y)), ArgumentError, "path must be the name of a folder"),
    "no model": (lambda path: pb.resume(path, line), ArgumentError, r"pb\.resume\(model\(data"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(kept, name):
    call, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words):
        call(kept)


def test_a_run_that_cannot_start_leaves_no_store(tmp_path):
    with pytest.raises(ArgumentError):
        pb.nuts(Bell(), draws=0, store=tmp_path / "a")
    with pytest.raises(pb.errors.InitializationError):
        pb.nuts(Bell(), init=np.full(3, np.nan), store=tmp_path / "b", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_one_process_writes_at_a_time(kept):
    pytest.importorskip("fcntl")
    with Writer(kept, resumed=True), pytest.raises(StoreError, match="another run is writing to this store"):
        pb.resume(kept, _normal(Y))
    quietly(pb.resume, kept, _normal(Y))


@pytest.mark.usefixtures("at_once")
def test_a_full_disk_stops_the_run_and_keeps_what_was_committed(tmp_path, monkeypatch):
    path, n_commits = tmp_path / "run.zarr", []

    def fill(target, content):
        n_commits.append(target)
        if len(n_commits) > 6:
            raise OSError(28, "No space left on device")
        write_whole(target, content)

    write_whole = writer.write_whole
    options = {"draws": 2000, "warmup": 60, "chains": 2, "seed": 2}
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_whole", fill)
        with pytest.raises(StoreError, match=r"cannot be written: .*No space left .* pb\.resume\(path, model\)"):
            quietly(pb.nuts, Bell(), store=path, **options)
    assert_same(quietly(pb.resume, path, Bell()), quietly(pb.nuts, Bell(), **options))


def test_a_store_that_cannot_be_made_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/run\.zarr cannot be made: .* Give another folder as store="):
        quietly(pb.nuts, Bell(), store=tmp_path / "file" / "run.zarr", draws=10, warmup=10, chains=1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write_whole", full)
    with pytest.raises(StoreError, match=r"run\.zarr cannot be made: .*No space left"):
        quietly(pb.nuts, Bell(), store=tmp_path / "run.zarr", draws=10, warmup=10, chains=1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_state_of_another_version_is_read_but_not_continued(kept, monkeypatch):
    monkeypatch.setattr(chains, "state_layout", lambda: "another")
    with pytest.raises(StoreError, match=r"whose samplers keep their state in another way .* pb\.read_store reads it"):
        pb.resume(kept, _normal(Y))
    assert pb.read_store(kept, _normal(Y))["posterior"].sizes["draw"] == 10


def test_storing_imports_nothing_before_it_is_asked_for():
    code = "import sys, probad; print('zarr' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "False"
