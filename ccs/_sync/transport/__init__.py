# Generated from ccs/_async/transport/__init__.py by scripts/twin. Do not edit.
