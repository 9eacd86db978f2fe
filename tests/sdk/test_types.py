"""The SDK's types: what a platform's page writes against them compiles, what is wrong does not, and
they have what the modules have."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SDK: Final = ROOT / "server" / "web" / "sdk"
NODE: Final = Path(sys.executable).with_name("node")
TYPESCRIPT: Final = ROOT / "tests" / "clients" / "node" / "node_modules" / "typescript"

DECLARED = """
    const ts = (await import(process.argv[1])).default;
    const { readFileSync } = await import("node:fs");
    const parse = (name) => ts.createSourceFile(name, readFileSync(name, "utf8"), 99, true);
    const shown = {};
    for (const each of process.argv.slice(2).flatMap((name) => parse(name).statements)) {
      const exported = each.modifiers?.some((one) => one.kind === ts.SyntaxKind.ExportKeyword);
      if (!exported) continue;
      if (ts.isClassDeclaration(each))
        shown[each.name.text] = each.members.map((one) => one.name?.text).filter(Boolean);
      else if (ts.isFunctionDeclaration(each)) shown[each.name.text] = [];
      else if (ts.isVariableStatement(each))
        shown[each.declarationList.declarations[0].name.text] = [];
    }
    console.log(JSON.stringify(shown));
"""
REAL = """
    const modules = await Promise.all(process.argv.slice(1).map((name) => import(name)));
    const samples = { RequestError: [{ code: "CLOSED", text: "" }], TiproomClient: [{}] };
    const shown = {};
    for (const [name, value] of modules.flatMap((each) => Object.entries(each))) {
      shown[name] = [];
      if (!(name in samples)) continue;
      const methods = Object.getOwnPropertyNames(value.prototype);
      const fields = Object.keys(new value(...samples[name]));
      shown[name] = [...methods, ...fields].filter((one) => !["constructor", "name"].includes(one));
    }
    console.log(JSON.stringify(shown));
"""


def run(*arguments: str | Path) -> str:
    """What Node prints; a failure shows what it said."""
    ran = subprocess.run([NODE, *arguments], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def script(text: str, *arguments: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(run("--input-type=module", "-e", text, *arguments))
    return {name: sorted(members) for name, members in found.items()}


@pytest.mark.slow  # starts a compiler
def test_a_platforms_page_compiles_and_what_is_wrong_in_it_is_found() -> None:
    run(TYPESCRIPT / "bin" / "tsc", "-p", ROOT / "tests" / "sdk" / "tsconfig.json")


@pytest.mark.slow  # starts Node and loads a compiler into it
def test_the_types_have_what_the_modules_have() -> None:
    library = (TYPESCRIPT / "lib" / "typescript.js").as_uri()
    names = ("client", "codes")
    declared = script(DECLARED, library, *(str(SDK / f"{name}.d.ts") for name in names))
    assert declared == script(REAL, *((SDK / f"{name}.js").as_uri() for name in names))
    assert "request" in declared["TiproomClient"]
