"""A page that shows a run: what it finds, what it confuses, where it looks, how it was made.

`page.write_report` goes through the sections (`sections/`, a file each, in the order of
`sections.SECTIONS`). A section takes the run (`RunData`) and returns its values, which go into
report.json as they are, and its media (charts and pictures); its template shows both. So every
number on the page is in report.json.
"""
