"""How the recipes of each language are built and run, and how a fault is planted in them."""

import pathlib
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).parents[1]


class Python:
    """One program a recipe, beside its README."""

    name = "python"
    # By recipe: a line without which the recipe is wrong, what stands for it in a faulty one, and the case that has to notice.
    faults = {
        "watermark": ("    WHERE watermarks.last_offset < excluded.last_offset\n", "", "zombie"),
        "transactional-ledger": ("    if message_id in known:\n", "    if False:\n", "repeated"),
        "claim-ledger": ("    return error is None\n", "    return True\n", "zombie"),
        "sequence-chaining": ('f"{input_id}/{part.partition}"', 'f"{INPUT}/{part.partition}"', "recreated"),
    }

    def build(self, recipes):
        """Nothing to do."""

    def command(self, recipe):
        return [sys.executable, EXAMPLES / recipe / f"{recipe.replace('-', '_')}.py"]

    def faulty(self, recipe, directory):
        """The command of the faulty variant, made in `directory`."""
        right = (EXAMPLES / recipe / f"{recipe.replace('-', '_')}.py").read_text()
        line, instead, _ = self.faults[recipe]
        variant = directory / recipe / "faulty.py"
        variant.parent.mkdir()
        variant.write_text(planted(right, line, instead))
        (directory / "recipe.py").write_text((EXAMPLES / "recipe.py").read_text())
        return [sys.executable, variant]


def planted(source, line, instead):
    if source.count(line) != 1:
        raise SystemExit(f"the line for the planted fault stands {source.count(line)} times: {line.strip()}")
    return source.replace(line, instead)


LANGUAGES = {language.name: language for language in [Python()]}


def steps(command):
    """Its own list of them."""
    return subprocess.run([*command, "--steps"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
