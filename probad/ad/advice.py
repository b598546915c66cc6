"""Say what NumPy's messages mean when it meets traced values in places where it cannot ask for advice."""

from __future__ import annotations

from probad.errors import ConversionError, InPlaceError, UnsupportedFunctionError


def advise(error: BaseException) -> None:
    """Raise a clearer error from one that has ended a trace, if its cause is known."""
    kind, text = type(error), str(error)
    if kind is TypeError and ("not supported for the input types" in text or "loop of ufunc" in text):
        raise UnsupportedFunctionError(
            "np.array([...]) of traced values makes an object array, which this function does not take. Use "
            f"np.stack([...]) to join traced scalars into one array. NumPy said: {error}"
        ) from error
    if kind is ValueError and isinstance(error.__cause__, ConversionError):
        raise InPlaceError(
            "A traced value was assigned into a plain NumPy array, and its derivative would be lost. Start from a "
            "traced array (np.zeros_like(x)), or collect the parts in a list and np.stack it."
        ) from error
    if kind is ValueError and "read-only" in text:
        raise InPlaceError(
            "A NumPy array was written to after a traced value had been computed from it: its derivative needs "
            "the old content. Write to a copy instead (the line is in the traceback below)."
        ) from error
    if kind is IndexError and "only integers, slices" in text:
        raise ConversionError(
            "An array was indexed by something that is not an integer. If it is a traced value: it has no "
            "derivative as an index; use int(x), or pb.stop_gradient(x) for an array of indices. With an index "
            "that is batched by vmap use np.take_along_axis(a, i, axis)."
        ) from error
