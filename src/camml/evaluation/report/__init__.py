"""A report of runs that is opened from a disk: a leaderboard, and a page of each run.

index.html         the leaderboard               leaderboard.md   the same as Markdown
runs/<run>/        index.html, records.js and prompts-<n>.js of a run
pictures/          small copies                  assets/          style and script of all pages
"""

from camml.evaluation.report.write import Report, write_report

__all__ = ["Report", "write_report"]
