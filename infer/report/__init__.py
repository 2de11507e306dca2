"""A measurement as a page that one can send to somebody: the line, and everything that one would ask about it.

`build_report` makes the inferences, `render` the page, and `save_report` a folder with the page, the records and the
figures.  The page is one HTML file without any reference to the outside; its charts are drawn anew for the screen, in
light and dark, while the figures for papers come from `infer.plots`::

    from infer.report import build_report, save_report

    likelihood, data = infer.read_workspace("workspaces/measurement.json")
    save_report("report", build_report(likelihood, data))
"""

from __future__ import annotations

from infer.report.drawing import Artist
from infer.report.files import FIGURES, file_digests, read_coverage, save_report, usable
from infer.report.gather import Questions, build_report
from infer.report.page import render
from infer.report.record import Report

__all__ = [
    "FIGURES",
    "Artist",
    "Questions",
    "Report",
    "build_report",
    "file_digests",
    "read_coverage",
    "render",
    "save_report",
    "usable",
]
