"""Figures for a paper, as PDF and PNG, with captions."""

from analysis.figures.save import (
    METRIC_FIGURES,
    SCALING_FIGURES,
    drawings_of,
    save_figures,
    save_scaling_figures,
)

__all__ = [
    "METRIC_FIGURES",
    "SCALING_FIGURES",
    "drawings_of",
    "save_figures",
    "save_scaling_figures",
]
