"""Functions with the names, arguments and meaning of other libraries."""
