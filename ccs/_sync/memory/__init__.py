# Generated from ccs/aio/memory/__init__.py by scripts/twin. Do not edit.
