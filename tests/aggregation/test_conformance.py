"""The laws of rules and pre-aggregations, over all of the suite's own."""

import dataclasses
import math
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lad_mpi import conformance
from lad_mpi.aggregation import (
    PRE_AGGREGATIONS,
    RULES,
    AdaptiveClipping,
    Bucketing,
    CenteredClipping,
    Clip,
    CovarianceFilter,
    GeometricMedian,
    Krum,
    Meamed,
    Mean,
    Median,
    MinimumDiameterAveraging,
    MoNNA,
    MultiKrum,
    NearestNeighbourMixing,
    NormThreshold,
    SmallestMaximumEigenvalueAveraging,
    TrimmedMean,
)

#: A threshold is a length, and so nothing follows its messages wherever they go.
OF_FIXED_LENGTH = {"scaling", "scaling_to_the_ends", "translation", "huge_rows"}

TestMean = conformance.rule(Mean, without={"huge_rows"})
TestTrimmedMean = conformance.rule(TrimmedMean)
TestMedian = conformance.rule(Median, without={"mean_without_faults"})
TestMeamed = conformance.rule(Meamed)
TestGeometricMedian = conformance.rule(GeometricMedian, without={"mean_without_faults"})
TestKrum = conformance.rule(Krum, without={"mean_without_faults"})
TestMultiKrum = conformance.rule(MultiKrum)
TestCenteredClipping = conformance.rule(CenteredClipping, without=OF_FIXED_LENGTH)
TestCovarianceFilter = conformance.rule(CovarianceFilter)
TestSmea = conformance.rule(SmallestMaximumEigenvalueAveraging)
TestNormThreshold = conformance.rule(NormThreshold, without={"translation"})

TestNnm = conformance.pre_aggregation(NearestNeighbourMixing)
TestBucketing = conformance.pre_aggregation(
    Bucketing,
    without={"order", "huge_rows", "mean_without_faults"},
    tolerates=0.25,
    count=lambda n: (n + 1) // 2,
)
TestClip = conformance.pre_aggregation(Clip, without={*OF_FIXED_LENGTH, "mean_without_faults"})
TestArc = conformance.pre_aggregation(
    AdaptiveClipping, without={"translation", "mean_without_faults"}
)


class TestMoNNA(conformance.rule(MoNNA)):
    def reordered(self, component, order):
        row = int(np.flatnonzero(order == component.reference)[0])
        return dataclasses.replace(component, reference=row)


class TestMda(conformance.rule(MinimumDiameterAveraging, without={"order"})):
    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**32), num_messages=st.integers(5, 12))
    def test_order_does_not_matter_where_one_subset_is_tightest(self, seed, num_messages):
        faults = (num_messages - 1) // 4
        rule = MinimumDiameterAveraging(num_byzantine=faults)
        generator = np.random.default_rng(seed)
        messages = generator.normal(size=(num_messages, 4))
        if not has_one_tightest_subset(messages, faults):
            return
        shuffled = generator.permutation(messages, axis=0)
        np.testing.assert_allclose(rule(shuffled), rule(messages), atol=1e-7)


def has_one_tightest_subset(messages, num_byzantine):
    """Two subsets of least diameter share their two farthest rows and may differ in others."""
    size = len(messages) - num_byzantine
    diameters = sorted(
        max((math.dist(a, b) for a, b in combinations(subset, 2)), default=0.0)
        for subset in combinations(messages, size)
    )
    return len(diameters) == 1 or diameters[0] < diameters[1]


def test_every_component_is_put_to_the_test():
    tested = {value.subject for value in globals().values() if hasattr(value, "subject")}
    assert tested == {*RULES.values(), *PRE_AGGREGATIONS.values()}
