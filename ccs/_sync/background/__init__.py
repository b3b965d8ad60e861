# Generated from ccs/_async/background/__init__.py by scripts/twin. Do not edit.
