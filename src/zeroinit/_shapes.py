"""Array types with shapes for annotations: jaxtyping's where it is installed, as for tests; else the plain types.

So the package needs no jaxtyping at run time, and the tests check the shapes of what each function takes and returns.
"""

from typing import TYPE_CHECKING

__all__ = ["Bool", "Float", "Float32", "Float64", "Int", "Int64", "Real", "Shaped", "UInt8"]

if TYPE_CHECKING:
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Float32
    from typing import Annotated as Float64
    from typing import Annotated as Int
    from typing import Annotated as Int64
    from typing import Annotated as Real
    from typing import Annotated as Shaped
    from typing import Annotated as UInt8
else:
    try:
        from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, Real, Shaped, UInt8
    except ModuleNotFoundError:

        class Shaped:
            """``Shaped[Tensor, "rows columns"]`` is ``Tensor``."""

            def __class_getitem__(cls, of: tuple) -> type:
                return of[0]

        Bool = Float = Float32 = Float64 = Int = Int64 = Real = UInt8 = Shaped
