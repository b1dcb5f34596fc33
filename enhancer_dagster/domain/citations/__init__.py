"""What a model wrote, held against its sources by code: the prompt asks, this decides.

A citation is the id of a source in square brackets. Citations of anything else are removed. Under the
headings that state facts a sentence without a citation is removed; a recommended step without one is kept
and marked, because advice may come from experience while facts about this site may not. A sentence that
mentions an unknown id in its text falls under every heading: the id is what it is about. A block of code
stays where a source that is cited right before it holds it.
"""

from enhancer_dagster.domain.citations.checking import CheckedAnswer, check_answer

__all__ = ["CheckedAnswer", "check_answer"]
