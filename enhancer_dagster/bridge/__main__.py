"""`python -m enhancer_dagster.bridge`: the bridge until SIGTERM, set up by the environment."""

from enhancer_dagster.bridge.server import serve
from enhancer_dagster.settings import load_settings

if __name__ == "__main__":
    serve(load_settings())
