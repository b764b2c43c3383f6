"""A report: what was run, warnings, tables and figures, in one HTML file without links."""

from analysis.report.page import write_report

__all__ = ["write_report"]
