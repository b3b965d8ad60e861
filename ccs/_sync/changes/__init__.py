# Generated from ccs/_async/changes/__init__.py by scripts/twin. Do not edit.
