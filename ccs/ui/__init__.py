"""The web view: what a swarm does, in a browser, live and read-only. Needs the extra `ui`."""

from ccs.ui.application import WebView, app

__all__ = ["WebView", "app"]
