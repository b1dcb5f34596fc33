"""One outside system a module, each behind a Protocol of `domain.ports`."""
