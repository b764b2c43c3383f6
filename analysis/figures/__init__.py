"""Figures for a paper, as PDF and PNG, with captions."""

from analysis.figures.save import (
    FORMATS,
    METRIC_FIGURES,
    SCALING_FIGURES,
    drawings_of,
    save_figures,
    save_heatmap,
    save_scaling_figures,
)

__all__ = [
    "FORMATS",
    "METRIC_FIGURES",
    "SCALING_FIGURES",
    "drawings_of",
    "save_figures",
    "save_heatmap",
    "save_scaling_figures",
]
