"""What a forecast assumes, and how far it goes beyond the measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.forecast.answer import AS_MEASURED, measured_networks
from analysis.forecast.observe import hosted_devices
from analysis.statistics import CONFIDENCE, EACH_OF_TWO, least_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analysis.forecast import Forecast


def reading_notes(forecast: Forecast) -> list[str]:
    """Explain how to read the intervals."""
    said = [f"[low, high]: interval of {CONFIDENCE:.0%} for a new launch."]
    costs = [row.cost_s for scenario in forecast.scenarios for row in scenario.rows]
    if forecast.target is not None and any(cost and cost.coverage is None for cost in costs):
        said.append(
            "(low … high): from the fewest iterations of a seed at a fast iteration to the most at "
            "a slow one. It has no stated coverage; an interval needs "
            f"{least_count(EACH_OF_TWO)} seeds."
        )
    return said


def assumptions(forecast: Forecast) -> list[str]:
    """List what the predictions assume."""
    model = forecast.model
    load = (
        "the processors and their other load are as during the measurements. There, the time of "
        f"an iteration without the network varied by {model.spread:.0%} between launches "
        f"(standard deviation; degrees of freedom: {model.degrees})."
    )
    said = [load, *_network(forecast), *_ranks(forecast)]
    if forecast.target is not None:
        said.append(
            "the iterations to the target are those of the logs. An evaluation shows the target, "
            "so a run may have reached it earlier."
        )
    return said


def _network(forecast: Forecast) -> Iterator[str]:
    given = dict.fromkeys(scenario.network for scenario in forecast.scenarios)
    given.pop(AS_MEASURED, None)
    if not given:
        return
    yield (
        f"{'; '.join(given)}: every device and server is a machine with one link. A "
        "broadcast is a binomial tree over them, and all messages to a server share its link. "
        "There is no other traffic."
    )
    rows = [row for scenario in forecast.scenarios for row in scenario.rows]
    crowded = [row for row in rows if hosted_devices(row.devices, row.ranks, row.servers) > 1]
    if crowded:
        yield (
            "a rank does the work of several devices. For devices that are machines of their own, "
            f"use --ranks {max(row.devices + row.servers for row in crowded)}."
        )
    elsewhere = not given.keys() <= measured_networks(forecast.model).keys()
    if elsewhere and any(row.iteration.measured_ranks == row.ranks for row in rows):
        yield "on another network, MPI and waiting take at most as long as measured."


def _ranks(forecast: Forecast) -> Iterator[str]:
    moved: dict[tuple[int, int], tuple[int, int]] = {}
    for scenario in forecast.scenarios:
        for row in scenario.rows:
            before = row.iteration.measured_ranks
            if before != scenario.ranks:
                moved[before, scenario.ranks] = (
                    hosted_devices(row.devices, before, row.servers),
                    hosted_devices(row.devices, scenario.ranks, row.servers),
                )
    for (before, after), (old, new) in moved.items():
        yield (
            f"P = {after} was not measured; the closest is P = {before}. A rank hosts {new} "
            f"instead of {old} devices. Their work is partly constant and partly proportional to "
            "their number. MPI and waiting take at most as long as the work, in addition to the "
            "measured overhead."
        )
