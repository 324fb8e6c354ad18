"""What the author of a tool needs; see README.md beside this file."""

from tools.context import ToolContext
from tools.errors import ToolDefinitionError, ToolError
from tools.spec import ToolSpec, tool

__all__ = ["ToolContext", "ToolDefinitionError", "ToolError", "ToolSpec", "tool"]
