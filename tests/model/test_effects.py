"""The handler stack: what handlers see and may change, and that runs do not meet."""

import threading

import numpy as np
import pytest
from scipy import stats

from probad import dist
from probad.errors import ModelError
from probad.model import Handler, Interpreter, deterministic, factor, model, sample
from tests.tolerances import EXACT


class Record(Handler):
    def __init__(self):
        self.out, self.back = [], []

    def process(self, site):
        self.out.append(site.name)

    def finish(self, site):
        self.back.append((site.name, site.value))


class Condition(Handler):
    def __init__(self, **data):
        self.data = data

    def process(self, site):
        if site.name in self.data:
            site.obs = self.data[site.name]


class Answer(Handler):
    def process(self, site):
        site.value, site.stop = 7.0, True


class Constant(Interpreter):
    def process(self, site):
        if site.kind == "sample":
            site.value = 1.5


def test_handlers_see_messages_on_their_way_out_and_back():
    outer, inner = Record(), Record()

    def body():
        sample("before", dist.Normal(0.0, 1.0))
        with outer, inner:
            x = sample("x", dist.Normal(0.0, 1.0))
            deterministic("twice", 2 * x)
        sample("after", dist.Normal(0.0, 1.0))
        return x

    assert Constant().run(body, (), {}) == 1.5
    assert outer.out == inner.out == ["x", "twice"]
    assert outer.back == [("x", 1.5), ("twice", 3.0)]


def test_a_handler_that_answers_hides_the_site():
    outer = Record()

    def body():
        with outer, Answer():
            return sample("x", dist.Normal(0.0, 1.0))

    assert Constant().run(body, (), {}) == 7.0
    assert outer.out == []


def test_a_handler_can_make_a_latent_site_observed():
    @model
    def pair():
        with Condition(b=2.0):
            a = sample("a", dist.Normal(0.0, 1.0))
            sample("b", dist.Normal(a, 1.0))

    bound = pair()
    assert [site.kind for site in bound.sites] == ["latent", "observed"]
    expected = stats.norm.logpdf(0.3) + stats.norm.logpdf(2.0, 0.3)
    assert bound.density().logp([0.3]) == pytest.approx(expected, rel=EXACT)


def test_a_handler_leaves_the_stack_after_an_exception():
    @model
    def fails():
        with Record():
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fails()
    with pytest.raises(ModelError, match="outside a model"):
        sample("x", dist.Normal(0.0, 1.0))
    with pytest.raises(ModelError, match="Record was entered outside a model"), Record():
        pass


def test_a_density_inside_a_model_is_on_its_own():
    @model
    def inner():
        sample("x", dist.Normal(0.0, 1.0))

    inner_density = inner().density()

    @model
    def outer():
        x = sample("x", dist.Normal(3.0, 1.0))
        factor("inner", inner_density.logp(np.stack([x])))

    assert outer().density().logp([1.0]) == pytest.approx(stats.norm.logpdf([1.0, -2.0]).sum(), rel=EXACT)


def test_threads_have_their_own_stack():
    outcome = []

    def elsewhere():
        try:
            sample("x", dist.Normal(0.0, 1.0))
        except ModelError:
            outcome.append("outside")

    def body():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    Constant().run(body, (), {})
    assert outcome == ["outside"]


@pytest.mark.parametrize("call", [sample, deterministic, factor])
def test_outside_a_model_the_way_out_is_named(call):
    with pytest.raises(ModelError) as caught:
        call("x", 1.0)
    for word in (f"pb.{call.__name__}('x', ...)", "outside a model", "@pb.model"):
        assert word in str(caught.value)
