from hypothesis import given
from hypothesis import strategies as st

from worker.realtime.history import LEFT_OUT, Entry, History


def said(history):
    return [(entry.role, entry.text) for entry in history.entries()]


def test_keeps_the_order_in_which_items_began():
    history = History()
    history.reserve("c1", "user")
    history.agent_said("a1", "Let me look.")
    history.caller_said("c1", "What about order 427?")  # transcribed after the answer began
    assert said(history) == [("user", "What about order 427?"), ("assistant", "Let me look.")]


def test_without_a_reservation_items_stand_where_their_text_came():
    history = History()
    history.agent_said("a1", "Hello.")
    history.caller_said("c1", " Hi. ")
    assert history.entries() == [Entry("assistant", "Hello."), Entry("user", "Hi.")]


def test_items_without_text_are_left_out():
    history = History()
    history.reserve("c1", "user")
    history.caller_said("c2", "  ")
    assert history.entries() == []


def test_later_text_of_an_item_replaces_the_earlier():
    history = History()
    history.agent_said("a1", "Hel")
    history.agent_said("a1", "Hello.")
    assert said(history) == [("assistant", "Hello.")]


def test_agent_s_words_are_kept_as_far_as_heard_in_whole_words():
    history = History()
    history.agent_said("a1", "one two three four")
    history.cut("a1", 500, 1000)
    assert said(history) == [("assistant", "one two…")]


def test_cut_before_the_text_came_counts_too():
    history = History()
    history.cut("a1", 500, 1000)
    history.agent_said("a1", "one two three four")
    assert said(history) == [("assistant", "one two…")]


def test_nothing_heard_is_nothing_said():
    history = History()
    history.agent_said("a1", "one two three")
    history.cut("a1", 0, 1000)
    history.agent_said("a2", "four")
    history.cut("a2", 0, 0)
    assert history.entries() == []


def test_all_heard_is_no_cut():
    history = History()
    history.agent_said("a1", "one two three")
    history.cut("a1", 1200, 1000)
    assert said(history) == [("assistant", "one two three")]


def test_over_the_limit_of_characters_the_oldest_is_left_out_and_that_is_noted():
    history = History(chars=10)
    for number in range(4):
        history.caller_said(f"c{number}", f"word{number}")
    assert said(history) == [("system", LEFT_OUT), ("user", "word2"), ("user", "word3")]


def test_over_the_limit_of_items_the_oldest_are_forgotten():
    history = History(items=2)
    for number in range(4):
        history.caller_said(f"c{number}", f"word{number}")
    assert said(history) == [("system", LEFT_OUT), ("user", "word2"), ("user", "word3")]


@given(st.text(max_size=80), st.integers(0, 2000), st.integers(0, 2000))
def test_what_is_left_of_a_text_is_its_beginning(text, heard_ms, received_ms):
    history = History()
    history.agent_said("a1", text)
    history.cut("a1", heard_ms, received_ms)
    for entry in history.entries():
        assert text.strip().startswith(entry.text.removesuffix("…"))


@given(st.lists(st.text(max_size=30), max_size=40), st.integers(0, 200))
def test_limit_of_characters_holds(texts, limit):
    history = History(chars=limit)
    for number, text in enumerate(texts):
        history.caller_said(str(number), text)
    assert sum(len(entry.text) for entry in history.entries() if entry.text != LEFT_OUT) <= limit


def test_tools_answers_stand_where_they_came_and_are_cut_to_a_sane_length():
    history = History()
    history.caller_said("c1", "where is it")
    history.tool_answered("t1", "order_status", '{"order":"427"}', '{"status":"shipped"}')
    history.agent_said("a1", "It is shipped.")
    asked, note, said = history.entries()
    assert (asked.role, note.role, said.role) == ("user", "system", "assistant")
    assert note.text == '(The tool order_status was called with {"order":"427"}. Its answer: {"status":"shipped"})'
    history.tool_answered("t2", "list", "{}", "x" * 100_000)
    assert len(history.entries()[-1].text) < 1100
