"""`python -m tenuto`: the same as the `tenuto` command, for whoever starts it by its interpreter."""

from .cli import main

main()
