"""What is read out of SIP messages, and what is said to them: text and rules alone. Pure, without pjsua2.

The library has parsed and accepted a message before it comes here; names come from strangers all the same, so all that
is handed on is printable and bounded in length.
"""
