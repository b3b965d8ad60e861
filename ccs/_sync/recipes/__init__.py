# Generated from ccs/_async/recipes/__init__.py by scripts/twin. Do not edit.
