"""A ticket run pays for no library that only builds need."""

import subprocess
import sys

_SCRIPT = """
import sys
import enhancer_dagster.search.query
heavy = {"torch", "sentence_transformers", "transformers", "pandas", "duckdb", "dagster", "bm25s", "scipy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_the_query_side_imports_nothing_of_the_build() -> None:
    output = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "[]"
