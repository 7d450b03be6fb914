"""Can one answer a quiz with a pointer and with the keyboard alone?"""

from __future__ import annotations

import pytest

from flownb import quiz
from tests.support.notebooks import new_page
from tests.support.widgets import BarePage


@pytest.mark.browser
@pytest.mark.nightly
def test_in_a_page_one_clicks_an_answer_and_goes_on_by_the_keyboard(browser):
    page = new_page(browser)
    bare = BarePage(page, quiz(4, questions=2, level=1))
    choices = page.locator(".flownb-choices button")
    assert choices.all_text_contents() == ["9 s", "11 s", "16 s", "27 s"]
    assert page.locator(".flownb-told").text_content() == ""
    choices.nth(2).focus()
    page.keyboard.press("Enter")
    bare.tell()
    assert choices.all_text_contents() == ["9 s", "✓ 11 s", "✗ 16 s", "27 s"]
    assert "No: await policy" in page.locator(".flownb-told").text_content()
    page.keyboard.press("Enter")  # the focus is on "next"
    bare.tell()
    assert "Question 2 of 2" in page.locator(".flownb-title").text_content()
    assert page.locator(".flownb-told").text_content() == ""
    page.close()
