# Read by login shells, whose PATH Debian sets anew for whoever is not root. `ray up` runs all its
# commands in such a shell, and would find no `ray`.
PATH=/opt/andon/.venv/bin:${PATH}
