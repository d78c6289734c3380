#!/usr/bin/env python3
"""Asks the real programs' own argument parsers.

    crds/tests/flags/capture.py            # parses lines.json, then writes *.json beside this file
    crds/tests/flags/capture.py --check    # parses lines.json and writes nothing

It downloads the pinned wheels without their dependencies, a few hundred megabytes, into
~/.cache/bakeoff-flags, and imports each program's parser from there; see stubs.py for what stands in
for the rest. `lines.json` holds the command lines of every built-in profile with every field set, by
`BAKEOFF_UPDATE=1 cargo test -p bakeoff-crds --test flags`; that test compares them, without a network,
with what is captured here.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("BAKEOFF_FLAGS_CACHE", pathlib.Path.home() / ".cache/bakeoff-flags"))
# What the parsers themselves are made of.
LIBRARIES = [
    "click", "colorful", "email-validator", "fastapi", "filelock", "huggingface_hub", "jsonschema",
    "msgpack", "msgspec", "numpy", "orjson", "packaging", "protobuf", "pydantic", "pyyaml", "regex",
    "requests", "safetensors", "starlette", "tokenizers", "typer", "uvicorn",
]
WHEELS = {
    "vllm": "vllm==0.32.0",
    "sglang": "sglang==0.5.23",
    "transformers": "transformers==5.23.0",
    "fastchat": "fschat==0.2.36",
    "torchserve": "torchserve==0.12.0",
    "openllm": "openllm==0.6.30",
    "ray": "ray==2.60.0",
}
# Modules of the packages that patch other libraries, or hold kernels and layers.
WITHOUT = {
    "vllm": [
        "vllm.distributed", "vllm.distributed.parallel_state", "vllm.model_executor",
        "vllm.config.quantization", "vllm.v1.executor", "vllm.v1.worker",
    ],
    "sglang": ["sglang.srt.utils.hf_transformers_patches"],
}
# What a package can do without, and looks for.
ABSENT = {"transformers": ["accelerate"]}


def vllm():
    import vllm.platforms as platforms

    platforms.current_platform.device_type = "cuda"
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    yield "vllm serve", make_arg_parser(FlexibleArgumentParser())


def sglang():
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)
    yield "python3 -m sglang.launch_server", parser


def transformers():
    import typer
    from transformers.cli.serve import Serve

    app = typer.Typer()
    app.command(name="serve")(Serve)
    yield "transformers serve", typer.main.get_command(app)


def openllm():
    import typer

    import openllm.__main__ as program

    yield "openllm serve", typer.main.get_command(program.app).commands["serve"]


class Built(Exception):
    """A program's parser, at the moment when it would read its arguments."""


def of_script(file, module):
    """A parser that a script builds under `if __name__ == "__main__"` or in a function of its own."""

    def stop(parser, *_, **__):
        raise Built(parser)

    read = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = stop
    try:
        source = compile(pathlib.Path(file).read_text(), file, "exec")
        exec(source, {"__name__": "__main__", "__file__": file, "__package__": module.rpartition(".")[0]})
    except Built as built:
        return built.args[0]
    finally:
        argparse.ArgumentParser.parse_args = read
    raise SystemExit(f"{file} reads no arguments")


def fastchat():
    import fastchat

    folder = pathlib.Path(fastchat.__file__).parent / "serve"
    for program in ["controller", "model_worker", "openai_api_server"]:
        module = f"fastchat.serve.{program}"
        yield f"python3 -m {module}", of_script(str(folder / f"{program}.py"), module)


def torchserve():
    import ts

    yield "python3 -m ts.llm_launcher", of_script(
        str(pathlib.Path(ts.__file__).parent / "llm_launcher.py"), "ts.llm_launcher"
    )


def ray():
    from ray.scripts.scripts import start
    from ray.serve.scripts import run

    yield "ray start", start
    yield "serve run", run


def commands(line):
    """The commands of a line; a shell's script is several."""
    if line[:2] != ["bash", "-c"]:
        return [line]
    parts = [shlex.split(part) for part in line[2].split("&&")]
    return [part[1:] if part[0] == "exec" else part for part in parts]


def flags(parser):
    """What each flag takes: nothing, value, optional or several; with the choices, if any."""
    if isinstance(parser, argparse.ArgumentParser):
        for action in parser._actions:
            takes = {None: "value", "?": "optional", "*": "several", "+": "several", 0: "nothing"}.get(
                action.nargs, "several"
            )
            for name in action.option_strings:
                yield name, takes, action.choices
    else:
        for option in parser.params:
            takes = "nothing" if getattr(option, "is_flag", False) else "value"
            for name in [*option.opts, *option.secondary_opts]:
                if name.startswith("-"):
                    yield name, takes, getattr(getattr(option, "type", None), "choices", None)


def parse(parser, words):
    if isinstance(parser, argparse.ArgumentParser):
        parser.parse_args(words)
    else:
        with parser.make_context("serve", list(words)):
            pass


def refuses(parser, program):
    """A parser that takes any word would prove nothing."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            parse(parser, ["word", "--no-such-flag-of-any-program"])
    except SystemExit:
        return
    except Exception as error:
        if "no-such-flag" in str(error) or "No such option" in str(error):
            return
        raise
    raise SystemExit(f"{program} takes a flag that it does not have")


def inside(package, check):
    """Runs in the environment of one package."""
    sys.path[:0] = [str(CACHE / package), str(HERE)]
    import stubs

    stubs.install(*{"fastchat": ["fastchat"], "torchserve": ["ts"]}.get(package, [package]),
                  without=WITHOUT.get(package, []), absent=ABSENT.get(package, []))
    lines = [command for line in json.loads((HERE / "lines.json").read_text()) for command in commands(line)]
    captured = {}
    for program, parser in globals()[package]():
        first = program.split()
        parsed = 0
        for line in lines:
            if line[: len(first)] == first:
                parse(parser, line[len(first):])
                parsed += 1
        captured[program] = {
            name: {"takes": takes, **({"choices": sorted(map(str, choices))} if choices else {})}
            for name, takes, choices in sorted(flags(parser), key=lambda it: it[0])
        }
        print(f"{WHEELS[package]}: {program}: {parsed} command lines parsed, {len(captured[program])} flags")
        if not parsed:
            raise SystemExit(f"lines.json has no command line of {program}")
        refuses(parser, program)
    if not check:
        content = {"wheel": WHEELS[package], "programs": captured}
        (HERE / f"{package}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--inside":
        return inside(sys.argv[2], sys.argv[3] == "check")
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        raise SystemExit(__doc__)
    python = CACHE / "venv/bin/python"
    if not python.exists():
        venv.create(CACHE / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *LIBRARIES], check=True)
    for package, wheel in WHEELS.items():
        folder = CACHE / package
        if not folder.exists():
            subprocess.run(
                [python, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", folder, wheel],
                check=True,
            )
        mode = "check" if check else "write"
        # FastChat writes logs where it is started.
        with tempfile.TemporaryDirectory() as place:
            subprocess.run(
                [python, str(HERE / "capture.py"), "--inside", package, mode],
                check=True, cwd=place, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )


if __name__ == "__main__":
    main()
