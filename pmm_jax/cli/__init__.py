"""`pmm VERB ...`: a file a verb, which reads the command line and calls the package.

`main.py` picks the verb; `parsing.py` and `config_file.py` read command lines and config files;
`program.py` makes the process ready and turns errors into one line.
"""
