"""Archives of any size, on one machine or, on Ray, many: `scale.archive` and `scale.workers`."""
