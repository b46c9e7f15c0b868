"""Stripe's own description of its API, read off the types in its pinned library, which are generated from it.

`wrong_object` and `wrong_params` say, in sentences, what of an object or of a request's parameters Stripe doesn't have:
an unknown name, a wrong type, a word outside an enumeration, a null where there is none, a field that is missing.
They are stricter than the types in one thing: a list of words that may grow (`Literal | str`) is closed.

What these types don't tell is which nullable fields are always sent (as null) and which are left out.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
import types
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

import stripe
from stripe._error_object import ErrorObject
from stripe._object_classes import get_object_class
from stripe._request_options import RequestOptions
from stripe._stripe_object import StripeObject, UntypedStripeObject
from stripe.params import checkout
from typing_extensions import is_typeddict  # the library's TypedDict is that package's

_OPTIONS = set(RequestOptions.__annotations__)

PARAMS: dict[tuple[str, str], Any] = {
    ("POST", "checkout/sessions"): checkout.SessionCreateParams,
    ("GET", "checkout/sessions/*"): checkout.SessionRetrieveParams,
    ("POST", "checkout/sessions/*/expire"): checkout.SessionExpireParams,
    ("POST", "payment_intents"): stripe.params.PaymentIntentCreateParams,
    ("GET", "payment_intents"): stripe.params.PaymentIntentListParams,
    ("GET", "payment_intents/*"): stripe.params.PaymentIntentRetrieveParams,
    ("POST", "payment_intents/*/cancel"): stripe.params.PaymentIntentCancelParams,
    ("POST", "payment_intents/*/capture"): stripe.params.PaymentIntentCaptureParams,
    ("POST", "refunds"): stripe.params.RefundCreateParams,
    ("GET", "refunds"): stripe.params.RefundListParams,
    ("GET", "disputes"): stripe.params.DisputeListParams,
    ("DELETE", "customers/*"): stripe.params.CustomerDeleteParams,
}
_PLACES = {part for _, path in PARAMS for part in path.split("/")}


def wrong_params(method: str, path: str, params: Mapping[str, Any]) -> list[str]:
    """What Stripe would not take: `path` as `/v1/…`, `params` as the form says them, every leaf a string."""
    places = [part if part in _PLACES else "*" for part in path.removeprefix("/v1/").split("/")]
    kind = PARAMS.get((method, "/".join(places)))
    return [f"{method} {path} is not described"] if kind is None else _wrong(kind, params, "", form=True)


def wrong_object(thing: Mapping[str, Any], path: str = "") -> list[str]:
    """What is not as Stripe's object of that name (`object`) is."""
    name = thing.get("object", "")
    kind = get_object_class("V1", f"deleted_{name}" if thing.get("deleted") else name)
    if kind is StripeObject:
        kind = get_object_class("V1", name)
    return [f"{path}: no object is a {name!r}"] if kind is StripeObject else _wrong(kind, thing, path or name)


def wrong_error(error: Mapping[str, Any]) -> list[str]:
    """What is not as the `error` of a refusal is."""
    kinds = ("api_error", "card_error", "idempotency_error", "invalid_request_error")
    wrong = [] if error.get("type") in kinds else [f"error.type: {error.get('type')!r} is none of {kinds}"]
    return wrong + _wrong(ErrorObject, error, "error")


def _wrong(kind: Any, value: Any, path: str, *, form: bool = False) -> list[str]:
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return []
    if origin is NotRequired:
        return _wrong(args[0], value, path, form=form)
    if origin in (Union, types.UnionType):
        return _wrong_of_all(args, value, path, form)
    if origin is Literal:
        return [] if value in args else [f"{path}: {value!r} is none of {args}"]
    if origin is list:
        if form and isinstance(value, dict) and set(value) == {str(n) for n in range(len(value))}:
            value = list(value.values())
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        return [one for n, item in enumerate(value) for one in _wrong(args[0], item, f"{path}[{n}]", form=form)]
    if origin in (dict, UntypedStripeObject):
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no object"]
        of = args[-1]
        return [one for name, item in value.items() for one in _wrong(of, item, f"{path}.{name}", form=form)]
    if is_typeddict(kind) or (inspect.isclass(origin or kind) and issubclass(origin or kind, StripeObject)):
        return _wrong_struct(origin or kind, args, value, path, form)
    if form and isinstance(value, str):
        told = {int: value.removeprefix("-").isdigit(), bool: value in ("true", "false"), str: True}
        return [] if told.get(kind, False) else [f"{path}: {value!r} is no {kind}"]
    sound = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return [] if sound else [f"{path}: {value!r} is no {getattr(kind, '__name__', kind)}"]


def _wrong_of_all(kinds: tuple[Any, ...], value: Any, path: str, form: bool) -> list[str]:
    closed = any(get_origin(one) is Literal for one in kinds)
    tried = [_wrong(one, value, path, form=form) for one in kinds if not (closed and one is str)]
    if not all(tried):
        return []
    shape = dict if isinstance(value, dict) else object  # of an object, what is wrong inside says the most
    told = [one for one in tried if shape is object or not any(words.startswith(f"{path}: ") for words in one)]
    return min(told or tried, key=len)


def _wrong_struct(kind: Any, args: tuple[Any, ...], value: Any, path: str, form: bool) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no {kind.__name__}"]
    fields = _fields(kind, args[0] if args else None)
    if "deleted" in fields and not value.get("deleted"):
        fields = {name: of for name, of in fields.items() if name != "deleted"}
    dot = f"{path}." if path else ""
    wrong = [f"{dot}{name}: {kind.__name__} has no such field" for name in value if name not in fields]
    for name, of in fields.items():
        if name in value:
            wrong += _wrong(of, value[name], f"{dot}{name}", form=form)
        elif _always(of) and not value.get("deleted"):
            wrong.append(f"{dot}{name}: is missing")
    return wrong


def _always(kind: Any) -> bool:
    return get_origin(kind) is not NotRequired and type(None) not in get_args(kind)


@functools.cache
def _fields(kind: Any, of: Any) -> dict[str, Any]:
    """A struct's fields; `of` is what its TypeVar stands for."""
    names: dict[str, Any] = {}
    for base in kind.__mro__ if not is_typeddict(kind) else _typed_bases(kind):
        module = sys.modules.get(base.__module__)
        if module is not None and base.__module__.startswith("stripe"):
            names |= vars(module) | _imported_for_types(module)
    hints = get_type_hints(kind, globalns=names, include_extras=True)
    fields = {}
    for name, hint in hints.items():
        if (name in _OPTIONS and is_typeddict(kind)) or name.startswith("_") or name.isupper():
            continue
        if get_origin(hint) is not ClassVar:
            fields[name] = hint
    if kind is stripe.ListObject:
        fields |= {"object": Literal["list"], "data": list[of or Any]}  # type: ignore[valid-type]
    return fields


def _typed_bases(kind: Any) -> list[Any]:
    return [kind, *getattr(kind, "__orig_bases__", ())]


@functools.cache
def _imported_for_types(module: types.ModuleType) -> dict[str, Any]:
    """What a module of the library imports for a type checker alone."""
    found: dict[str, Any] = {}
    for block in ast.parse(inspect.getsource(module)).body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    place = importlib.import_module(line.module)
                    found |= {name.asname or name.name: getattr(place, name.name) for name in line.names}
    return found
