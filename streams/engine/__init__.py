"""The site machine: ordered, journalled, fenced, deterministic. It knows nothing of doors."""
