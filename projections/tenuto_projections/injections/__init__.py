"""The weekly report of injection attempts (M19): who tried to give the agents orders, where, and what became of it.

`sightings` folds the verified log into attempts, `weekly` makes a week's report of them, `markdown` writes it down, `commands` is
`tenuto report injections`. Phrases are looked for besides what controls said; a report counts what was seen, and proves no absence.
"""
