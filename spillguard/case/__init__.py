"""The safety case as data: read, checked link by link, and written as pages. Asks the gate for its rules."""
