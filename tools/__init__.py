"""What the author of a tool needs; see README.md beside this file."""

from tools.context import ToolContext
from tools.errors import ToolDefinitionError, ToolError
from tools.needs import Needs
from tools.spec import ToolSpec, tool

__all__ = ["Needs", "ToolContext", "ToolDefinitionError", "ToolError", "ToolSpec", "tool"]
