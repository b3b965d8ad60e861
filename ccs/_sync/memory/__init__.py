# Generated from ccs/_async/memory/__init__.py by scripts/twin. Do not edit.
