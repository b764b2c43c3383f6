"""Figures for a paper, as PDF and PNG, each with a caption that says what it shows."""

from analysis.figures.save import FIGURES, save_figures

__all__ = ["FIGURES", "save_figures"]
