// Runs a Python program in Pyodide: node pyodide.mjs <pyodide> <wheels> <checkout> <program>.
// What the program gives, as text, is the last line of what this prints.
import { readFileSync, readdirSync } from "node:fs";

const [home, wheels, checkout, program] = process.argv.slice(2);
const { loadPyodide } = await import(`${home}/pyodide.mjs`);
const pyodide = await loadPyodide({ indexURL: home });
const packages = pyodide.runPython("import site; site.getsitepackages()[0]");
for (const wheel of readdirSync(wheels).filter((name) => name.endsWith(".whl"))) {
  const content = new Uint8Array(readFileSync(`${wheels}/${wheel}`));
  pyodide.unpackArchive(content, "zip", { extractDir: packages });
}
pyodide.FS.mkdir("/checkout");
pyodide.mountNodeFS("/checkout", checkout);
pyodide.runPython("import sys; sys.path.insert(0, '/checkout')");
try {
  console.log(await pyodide.runPythonAsync(readFileSync(program, "utf8")));
} catch (error) {
  console.error(error.message); // not the error itself: node would print Pyodide's own code
  process.exitCode = 1;
}
