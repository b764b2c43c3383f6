"""Figures for a paper, as PDF and PNG, with captions."""

from analysis.figures.save import (
    FIGURES,
    SCALING_FIGURES,
    save_figures,
    save_forecast_figures,
    save_scaling_figures,
)

__all__ = [
    "FIGURES",
    "SCALING_FIGURES",
    "save_figures",
    "save_forecast_figures",
    "save_scaling_figures",
]
