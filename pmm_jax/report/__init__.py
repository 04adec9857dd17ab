"""Pages that show a run, several runs, or single images.

`page.write_page` goes through sections: of one run those of `sections/`, in the order of
`sections.SECTIONS`; of several runs those of `several/`; of single images those of `explanation/`.
A section takes the subject, such as a run (`RunData`), and returns its values, which go into the
JSON file beside the page as they are, and its media (charts and pictures); its template shows
both. So every number on the page is in that file.
"""
