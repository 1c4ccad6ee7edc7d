"""What the tests of the viewer's page do with it."""

from playwright.sync_api import Page as Tab


def painted(tab: Tab) -> None:
    """Waits until every pane shows the frames that it should."""
    tab.wait_for_function(
        """() => {
          const views = [...document.querySelectorAll('.view')];
          return views.length > 0 && views.every((view) =>
            !view.classList.contains('waiting') && view.querySelector('canvas').ariaLabel);
        }"""
    )
