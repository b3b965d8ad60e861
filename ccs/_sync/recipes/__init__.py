# Generated from ccs/aio/recipes/__init__.py by scripts/twin. Do not edit.
