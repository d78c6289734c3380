"""Writes conversations in ShareGPT's format: questions about Python, answered by its own library.

    make_sharegpt.py OUTPUT.json

The same Python always writes the same file. Lengths spread as people's do: most prompts are a
line, some paste a page; answers run from a sentence to several paragraphs.
"""

import json
import sys
from pathlib import Path

from english import Entry, entries

AT_LEAST = 1000
QUESTIONS = [
    "What does Python's `{name}` do?",
    "Explain `{name}` to me.",
    "I came across `{name}` in some Python code. What is it for?",
    "How is `{name}` described in the documentation?",
    "Please tell me how to use `{name}`, with the details that matter.",
]


def conversation(index: int, entry: Entry, before: Entry) -> dict:
    """One question with its answer; every fourth goes on, every seventh brings a page along."""
    question = QUESTIONS[index % len(QUESTIONS)].format(name=entry.name)
    if index % 7 == 0:
        question = f"I have read this about `{before.name}`:\n\n{before.text}\n\n{question}"
    turns = [("human", question), ("gpt", entry.text)]
    if index % 4 == 0:
        first = entry.text.split(". ")[0]
        turns += [("human", "And in one sentence?"), ("gpt", first)]
    return {
        "id": f"stdlib-{index:05}",
        "conversations": [{"from": who, "value": value} for who, value in turns],
    }


def main() -> None:
    """Writes the file."""
    found = [entry for entry in entries() if len(entry.text) >= 60]
    pairs = zip(found, found[-1:] + found[:-1])
    conversations = [conversation(i, entry, before) for i, (entry, before) in enumerate(pairs)]
    if len(conversations) < AT_LEAST:
        sys.exit(f"only {len(conversations)} conversations: is this a whole Python?")
    Path(sys.argv[1]).write_text(json.dumps(conversations, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
