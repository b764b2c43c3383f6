"""Figures for a paper, as PDF and PNG, each with a caption that says what it shows."""

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
