"""The audit: was every parameter initialized, once, as meant?

``zeroinit.audit`` is a function, and this package has its name. So the package can be called, too.
"""

import sys
from types import ModuleType

from zeroinit.audit.auditor import assert_initialized, audit
from zeroinit.audit.report import AuditReport, Written

__all__ = ["AuditReport", "Written", "assert_initialized", "audit"]


class _CallablePackage(ModuleType):
    """Python puts a package that is imported in the place of the function of its name."""

    __call__ = staticmethod(audit)


sys.modules[__name__].__class__ = _CallablePackage
