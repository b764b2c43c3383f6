import numpy as np
import pytest

from lad_mpi.data import Synthetic, SyntheticClassification
from lad_mpi.errors import ParameterError
from lad_mpi.rng import Purpose, Streams
from lad_mpi.types import SampleForm

BOTH = pytest.mark.parametrize("cls", [Synthetic, SyntheticClassification])


def draw(cls, num_subsets=10, seed=1, **parameters):
    return cls(**parameters).draw(num_subsets, Streams(seed))


def test_the_draw_of_a_regression_is_the_documented_one():
    m, Q, sigma = 3, 5, 0.7
    data = draw(
        Synthetic, 4, 9, dimension=Q, samples_per_subset=m, heterogeneity=sigma, test_samples=6
    )
    streams = Streams(9)
    common = streams.generator(Purpose.PROBLEM, device=0).standard_normal(Q)
    for k in range(4):
        g = streams.generator(Purpose.PROBLEM, device=k + 1)
        model = common + sigma * g.standard_normal(Q)
        z = 10 * g.standard_normal((m, Q))
        y = z @ model + g.standard_normal(m)
        np.testing.assert_array_equal(data.features[k * m : (k + 1) * m], z)
        np.testing.assert_allclose(data.targets[k * m : (k + 1) * m], y, rtol=1e-12)
    g = streams.generator(Purpose.TEST_SPLIT)
    z = 10 * g.standard_normal((6, Q))
    np.testing.assert_array_equal(data.test_features, z)
    np.testing.assert_allclose(data.test_targets, z @ common + g.standard_normal(6), rtol=1e-12)


def test_the_draw_of_a_classification_is_the_documented_one():
    m, p, C, sigma = 50, 5, 3, 0.7
    sizes = {"classes": C, "dimension": p, "samples_per_subset": m, "test_samples": m}
    data = draw(SyntheticClassification, 4, 9, heterogeneity=sigma, **sizes)
    streams = Streams(9)
    common = streams.generator(Purpose.PROBLEM, device=0).standard_normal((C, p))
    for k in range(4):
        g = streams.generator(Purpose.PROBLEM, device=k + 1)
        model = common + sigma * g.standard_normal((C, p))
        z = g.standard_normal((m, p))
        y = np.argmax(g.gumbel(size=(m, C)) + 10 / np.sqrt(p) * z @ model.T, axis=1)
        np.testing.assert_array_equal(data.features[k * m : (k + 1) * m], z)
        np.testing.assert_array_equal(data.targets[k * m : (k + 1) * m], y)
    g = streams.generator(Purpose.TEST_SPLIT)
    z = g.standard_normal((m, p))
    y = np.argmax(g.gumbel(size=(m, C)) + 10 / np.sqrt(p) * z @ common.T, axis=1)
    np.testing.assert_array_equal(data.test_targets, y)
    assert data.classes == ("0", "1", "2")


def test_labels_have_the_probabilities_of_a_softmax():
    data = draw(SyntheticClassification, 1, 3, classes=3, dimension=1, samples_per_subset=20_000)
    streams = Streams(3)
    common = streams.generator(Purpose.PROBLEM, device=0).standard_normal((3, 1))
    model = common + 0.1 * streams.generator(Purpose.PROBLEM, device=1).standard_normal((3, 1))
    odds = np.exp(10 * data.features * model.T)
    expected = odds / odds.sum(axis=1, keepdims=True)
    found = np.eye(3)[data.targets]
    # Residuals are uncorrelated with the features and have mean 0; five standard errors.
    tolerance = 5 / np.sqrt(20_000)
    np.testing.assert_allclose((found - expected).mean(axis=0), 0, atol=tolerance)
    np.testing.assert_allclose((data.features.T @ (found - expected)) / 20_000, 0, atol=tolerance)


@BOTH
def test_heterogeneity_is_the_only_knob_it_claims_to_be(cls):
    none, some, more = (draw(cls, heterogeneity=s) for s in (0.0, 1.0, 2.0))
    np.testing.assert_array_equal(none.features, more.features)
    np.testing.assert_array_equal(none.test_targets, more.test_targets)
    assert (none.targets != some.targets).any()
    if cls is Synthetic:
        np.testing.assert_allclose(
            more.targets - none.targets, 2 * (some.targets - none.targets), rtol=1e-9
        )


def agreement(data, seed):
    """Return how often the common model predicts the labels."""
    common = Streams(seed).generator(Purpose.PROBLEM, device=0).standard_normal((10, 20))
    return np.mean(np.argmax(data.features @ common.T, axis=1) == data.targets)


def test_labels_follow_the_common_model_less_and_less():
    shares = [
        agreement(draw(SyntheticClassification, 50, 4, heterogeneity=s), 4)
        for s in (0.0, 0.3, 1.0, 10.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.8
    assert shares[-1] < 0.25


@BOTH
def test_test_samples_change_no_training_sample(cls):
    few, many = draw(cls, test_samples=0), draw(cls, test_samples=40)
    np.testing.assert_array_equal(few.features, many.features)
    np.testing.assert_array_equal(few.targets, many.targets)
    assert (len(few.test_targets), len(many.test_targets)) == (0, 40)


def test_the_distributions_have_the_stated_scales():
    data = draw(Synthetic, 200, 3, dimension=50, samples_per_subset=2, heterogeneity=0.5)
    assert data.features.std() == pytest.approx(10, rel=0.03)
    model = Streams(3).generator(Purpose.PROBLEM).standard_normal(50)
    # ⟨z, σ ε⟩ has variance 50 · 10² · 0.5², beside which the noise is small.
    residuals = data.targets - data.features @ model
    assert residuals.std() == pytest.approx(np.sqrt(1250), rel=0.1)


def test_homogeneous_subsets_share_one_model():
    data = draw(Synthetic, 400, dimension=5, heterogeneity=0.0, samples_per_subset=3)
    model = Streams(1).generator(Purpose.PROBLEM).standard_normal(5)
    assert (data.targets - data.features @ model).std() == pytest.approx(1, rel=0.06)


def test_defaults_are_those_of_the_published_sizes():
    assert Synthetic() == Synthetic(dimension=100, samples_per_subset=1, heterogeneity=0.1)
    assert Synthetic().form == SampleForm((100,))
    assert SyntheticClassification().form == SampleForm((20,), 10)


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (Synthetic, "dimension", 0),
        (Synthetic, "samples_per_subset", 0),
        (Synthetic, "heterogeneity", -0.1),
        (Synthetic, "heterogeneity", float("nan")),
        (Synthetic, "heterogeneity", float("inf")),
        (Synthetic, "test_samples", -1),
        (SyntheticClassification, "classes", 1),
        (SyntheticClassification, "dimension", 0),
        (SyntheticClassification, "samples_per_subset", 0),
        (SyntheticClassification, "heterogeneity", -0.1),
        (SyntheticClassification, "test_samples", -1),
    ],
)
def test_parameters_out_of_range(cls, field, value):
    with pytest.raises(ParameterError) as caught:
        cls(**{field: value})
    assert caught.value.parameter == field
