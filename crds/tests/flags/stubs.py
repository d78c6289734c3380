"""Stand-ins for the modules that a server imports and its argument parser does not need.

The parsers of vLLM, SGLang and others lie in packages that import torch, CUDA kernels and whole model
libraries. Only what is missing is replaced: a wheel's own code and installed packages are the real
ones.
"""

import abc
import importlib.abc
import importlib.machinery
import sys
import types


# Looked for to learn on which machine the program is.
ABSENT = {"npu", "musa", "mlu", "hpu", "torch_npu", "torch_musa", "torch_mlu", "habana_frameworks", "mlx", "torch_xla", "tpu_inference", "libtpu", "amdsmi", "intel_extension_for_pytorch"}


class FakeType(abc.ABCMeta):
    """A class whose attributes, items, calls and unions are fakes too."""

    def __getattr__(cls, name):
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return fake(name)

    def __getitem__(cls, item):
        return cls

    def __or__(cls, other):
        return cls

    __ror__ = __or__

    def __iter__(cls):
        return iter(())

    def __contains__(cls, item):
        return False

    def __int__(cls):
        return 0

    __index__ = __int__

    def __float__(cls):
        return 0.0

    def __len__(cls):
        return 0

    def __bool__(cls):
        return False

    def __lt__(cls, other):
        return False

    __gt__ = __le__ = __ge__ = __lt__

    def __add__(cls, other):
        return other

    __sub__ = __mul__ = __truediv__ = __radd__ = __add__


def called(name, *arguments):
    """A decorator leaves what it decorates; one with arguments is a decorator."""
    if name == "infer_schema":
        return ""
    if len(arguments) == 1 and (
        isinstance(arguments[0], (types.FunctionType, type, staticmethod, classmethod))
        and not isinstance(arguments[0], FakeType)
    ):
        return arguments[0]
    return fake("result")


def anything(*_):
    """What pydantic asks of a field's type."""
    from pydantic_core import core_schema

    return core_schema.any_schema()


def fake(name):
    body = {
        "__new__": lambda cls, *a, **k: called(name, *a),
        "__module__": "fake",
        "__get_pydantic_core_schema__": classmethod(anything),
    }
    return FakeType(name, (), body)


class FakeModule(types.ModuleType):
    __path__ = []
    __file__ = "fake.py"
    __version__ = "99.0.0"

    def __getattr__(self, name):
        if name in ABSENT or name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        value = fake(name)
        setattr(self, name, value)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last in line: finds what nobody else finds, under the names that were asked for."""

    def __init__(self, real):
        self.real = real

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ABSENT:
            return None
        if isinstance(sys.modules.get(name.rpartition(".")[0]), FakeModule):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        if top in self.real or top in sys.stdlib_module_names:
            return None
        if top != name:
            # A part that an installed package looks for and may do without.
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return FakeModule(spec.name)

    def exec_module(self, module):
        pass


def install(*real, without=(), absent=()):
    """Everything but these packages, the standard library and what is installed is a stand-in.

    `without` names modules of the packages themselves that the parser does not need, `absent` what
    shall not be found at all.
    """
    ABSENT.update(absent)
    sys.meta_path.append(Finder(set(real)))
    for name in without:
        sys.modules[name] = FakeModule(name)
