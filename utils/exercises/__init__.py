"""The rules behind the exercises, one module for each topic. `utils.checks` finds them by the exercise's id."""
