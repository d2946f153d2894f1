"""An extension of the API reference's reader of docstrings."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Show `Example:` as code, as `Examples:` is."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
