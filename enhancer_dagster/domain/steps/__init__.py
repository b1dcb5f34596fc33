"""The four steps of an enhancement as plain functions over ports; the ops of `defs` call them."""
