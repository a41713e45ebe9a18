"""Pure decisions: `decide(state, cause, context) -> outcomes` and `evolve(state, outcome) -> changes`."""
