"""How the recipes of each language are built and run, and how a fault is planted in them."""

import os
import pathlib
import shutil
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


class Java:
    """One class a recipe, in one Maven project."""

    name = "java"
    faults = {
        "watermark": ("        WHERE watermarks.last_offset < excluded.last_offset\n", "", "zombie"),
        "transactional-ledger": ("        if (!done.get(record.partition()).add(id)) return;\n", "", "repeated"),
        "claim-ledger": ("            return false;\n", "            return true;\n", "zombie"),
        "sequence-chaining": ('inputId + "/" + place.partition()', 'Recipe.INPUT + "/" + place.partition()', "recreated"),
    }

    def build(self, recipes):
        self._classes = built("java")

    def command(self, recipe):
        return self._run(self._classes, recipe)

    def faulty(self, recipe, directory):
        line, instead, _ = self.faults[recipe]
        source = directory / f"{camel(recipe)}.java"
        source.write_text(planted((EXAMPLES / "java" / "src" / "main" / "java" / source.name).read_text(), line, instead))
        subprocess.run(["javac", "-d", directory, "-cp", self._classes, source], check=True)
        return self._run(f"{directory}:{self._classes}", recipe)

    def _run(self, classes, recipe):
        # They live for a second: the second compiler would not pay.
        return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes, camel(recipe)]


class Rust:
    """One program a recipe, in one package."""

    name = "rust"
    faults = {
        "watermark": ("    WHERE watermarks.last_offset < excluded.last_offset", "", "zombie"),
        "transactional-ledger": ("    if is_new {\n", "    if is_new || true {\n", "repeated"),
        "claim-ledger": ("RDKafkaErrorCode::InvalidRecord)) => Ok(false)", "RDKafkaErrorCode::InvalidRecord)) => Ok(true)", "zombie"),
        "sequence-chaining": ('format!("{input_id}/{}"', 'format!("{}/{}", setting("INPUT")', "recreated"),
    }

    def build(self, recipes):
        self._programs = pathlib.Path(built("rust"))

    def command(self, recipe):
        return [self._programs / recipe.replace("-", "_")]

    def faulty(self, recipe, directory):
        """Compiled with what the right ones are made of, under a name of its own beside them."""
        name, (line, instead, _) = recipe.replace("-", "_"), self.faults[recipe]
        package = directory / "rust"
        shutil.copytree(EXAMPLES / "rust", package, ignore=shutil.ignore_patterns("target", "bin"))
        manifest = package / "Cargo.toml"
        renamed = planted(manifest.read_text(), 'name = "recipes"', 'name = "recipes-faulty"')
        manifest.write_text(renamed + '[lib]\nname = "recipes"\n')
        source = package / "src" / "bin" / f"faulty_{name}.rs"
        source.parent.mkdir()
        source.write_text(planted((EXAMPLES / "rust" / "src" / "bin" / f"{name}.rs").read_text(), line, instead))
        environment = {**os.environ, "CARGO_TARGET_DIR": str(self._programs.parent)}
        # There, Cargo finds the same settings, and with them what it has built.
        build = ["cargo", "build", "--quiet", "--release", "--manifest-path", manifest]
        subprocess.run(build, cwd=EXAMPLES / "rust", env=environment, check=True)
        return [self._programs / source.stem]


def built(language):
    """What its script prints."""
    return subprocess.run([EXAMPLES / language / "build"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def camel(recipe):
    return "".join(word.capitalize() for word in recipe.split("-"))


def planted(source, line, instead):
    if source.count(line) != 1:
        raise SystemExit(f"the line for the planted fault stands {source.count(line)} times: {line.strip()}")
    return source.replace(line, instead)


LANGUAGES = {language.name: language for language in [Python(), Java(), Rust()]}


def steps(command):
    """Its own list of them."""
    return subprocess.run([*command, "--steps"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
