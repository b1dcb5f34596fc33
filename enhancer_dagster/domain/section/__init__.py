"""The section that a ticket carries: how it is written, found again, replaced and taken out.

The machine knows a section by its two marks, the heading and the footer line with the correlation id. What
stands between them is written so that it holds neither.
"""

from enhancer_dagster.domain.section.editing import append_section, replace_sections, strip_sections
from enhancer_dagster.domain.section.finding import FoundSection, find_sections
from enhancer_dagster.domain.section.rendering import Section, render_section

__all__ = [
    "FoundSection",
    "Section",
    "append_section",
    "find_sections",
    "render_section",
    "replace_sections",
    "strip_sections",
]
