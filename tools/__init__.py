"""What the author of a tool needs; see README.md beside this file."""

from tools.define.approval import CallFacts, CallToApprove
from tools.define.context import ToolContext
from tools.define.digits import Digits
from tools.define.needs import Needs
from tools.define.spec import ToolSpec, tool
from tools.errors import ToolDefinitionError, ToolError

__all__ = [
    "CallFacts",
    "CallToApprove",
    "Digits",
    "Needs",
    "ToolContext",
    "ToolDefinitionError",
    "ToolError",
    "ToolSpec",
    "tool",
]
