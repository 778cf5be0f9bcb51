"""Keras' "Call arguments" as a section of a docstring."""

import griffe


class CallArguments(griffe.Extension):
    """Shows what a layer is called with as it shows what it is made with."""

    def on_object(self, *, obj, **_):
        """The parser knows the section by another name, and takes a title."""
        if obj.docstring:
            text = obj.docstring.value
            obj.docstring.value = text.replace("Call arguments:", "Other Args: Call arguments")
