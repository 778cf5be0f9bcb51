"""What the tests of data share."""

import logging

import pytest


@pytest.fixture
def said(caplog):
    """What was warned of since it was last asked."""
    caplog.set_level(logging.WARNING)

    def messages():
        text = caplog.text
        caplog.clear()
        return text

    return messages
