"""Which items a client may put into a conversation. Everything else is refused with the place of the mistake."""

from __future__ import annotations

import binascii
from collections.abc import Iterable

from msgspec import UNSET

from duologue.errors import ProtocolError
from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    Message,
)

LONGEST_ID = 32
_IMAGES = {"data:image/png;base64": b"\x89PNG\r\n\x1a\n", "data:image/jpeg;base64": b"\xff\xd8\xff"}
_ALLOWED = {"user": "input_", "system": "input_text", "assistant": "output_text"}
_DETAILS = ("auto", "low", "high")


def check_item(item: Item, known: Iterable[Item], param: str = "item", *, sees_images: bool) -> None:
    """Check a client's item; `known` are the items that it may refer to. Raises ProtocolError."""
    if item.id is not UNSET and len(item.id) > LONGEST_ID:
        raise ProtocolError(
            f"Invalid '{param}.id': string too long. Expected a string with maximum length {LONGEST_ID}, "
            f"but got a string with length {len(item.id)} instead.",
            code="string_above_max_length",
            param=f"{param}.id",
        )
    match item:
        case Message():
            _check_content(item, param, sees_images=sees_images)
        case FunctionCallOutput(call_id=call_id):
            if not any(isinstance(other, FunctionCall) and other.call_id == call_id for other in known):
                raise ProtocolError(
                    f"Error creating item: no function call with call_id '{call_id}' exists in the conversation.",
                    code="invalid_value",
                    param=f"{param}.call_id",
                )
        case McpApprovalResponse(approval_request_id=request_id):
            if not any(isinstance(other, McpApprovalRequest) and other.id == request_id for other in known):
                raise ProtocolError(
                    f"Error creating item: no approval request with id '{request_id}' exists in the conversation.",
                    code="invalid_value",
                    param=f"{param}.approval_request_id",
                )


def _check_content(item: Message, param: str, *, sees_images: bool) -> None:
    for index, part in enumerate(item.content):
        where = f"{param}.content[{index}]"
        kind = str(part.__struct_config__.tag)
        if not kind.startswith(_ALLOWED[item.role]):
            raise ProtocolError(
                f"Invalid value: '{kind}'. This content cannot be in an item whose role is '{item.role}'.",
                code="invalid_value",
                param=f"{where}.type",
            )
        if isinstance(part, InputImage):
            _check_image(part, where, sees_images=sees_images)


def _check_image(image: InputImage, where: str, *, sees_images: bool) -> None:
    if not sees_images:
        raise ProtocolError(
            "The model of this server does not take images.", code="invalid_value", param=f"{where}.type"
        )
    head, _, data = image.image_url.partition(",")
    if head not in _IMAGES:
        raise ProtocolError(
            "Invalid image_url: expected a data URI, 'data:image/png;base64,…' or 'data:image/jpeg;base64,…'.",
            code="invalid_value",
            param=f"{where}.image_url",
        )
    try:
        picture = binascii.a2b_base64(data, strict_mode=True)
    except (binascii.Error, ValueError):
        picture = b""
    if not picture.startswith(_IMAGES[head]):
        kind = head.removeprefix("data:").removesuffix(";base64")
        raise ProtocolError(
            f"Invalid image_url: the data is not base64 of {kind}.", code="invalid_value", param=f"{where}.image_url"
        )
    if image.detail is not UNSET and image.detail not in _DETAILS:
        raise ProtocolError(
            f"Invalid value: '{image.detail}'. Supported values are: 'auto', 'low' and 'high'.",
            code="invalid_value",
            param=f"{where}.detail",
        )
