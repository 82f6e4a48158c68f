// A Worker whose program is Python: Pyodide from npm, started inside workerd, which compiles no WebAssembly by itself.
import "early.js";
import { loadPyodide } from "pyodide.mjs";
import createPyodideModule from "pyodide.asm.mjs";
import wasm from "pyodide.asm.wasm";
import stdlib from "python_stdlib.zip";
import msgspec from "msgspec.whl";
import pybase64 from "pybase64.whl";
import core from "duologue.zip";
import stories from "edge_stories.py";

const HOME = "http://bundle/";

// Extension modules are compiled while Python imports them; the runtime lets only this binding do so.
function allowCompiling(unsafe) {
  const { Module, Instance } = WebAssembly;
  const compiled = (source) => (source instanceof Module ? source : unsafe.newWasmModule(source));
  WebAssembly.Module = class {
    constructor(source) { return compiled(source); }
    static customSections(module, name) { return Module.customSections(module, name); }
    static imports(module) { return Module.imports(module); }
    static exports(module) { return Module.exports(module); }
    static [Symbol.hasInstance](value) { return value instanceof Module; }
  };
  WebAssembly.instantiate = async (source, imports) => {
    const module = compiled(source);
    const instance = new Instance(module, imports);
    return source instanceof Module ? instance : { module, instance };
  };
  WebAssembly.instantiateStreaming = async (_, imports) => ({ module: wasm, instance: new Instance(wasm, imports) });
}

async function boot(env) {
  allowCompiling(env.UNSAFE);
  const fetched = globalThis.fetch;
  const files = { [`${HOME}python_stdlib.zip`]: stdlib, [`${HOME}pyodide.asm.wasm`]: new ArrayBuffer(0) };
  globalThis.location = HOME;
  globalThis.fetch = async (address) => new Response(files[String(address)]);
  const python = await loadPyodide({
    indexURL: HOME, packageBaseUrl: HOME, createPyodideModule,
    lockFileContents: {
      info: { abi_version: "2026_0", python: "3.14.0", arch: "wasm32", platform: "emscripten", version: "0" },
      packages: {},
    },
  });
  globalThis.fetch = fetched;
  for (const wheel of [msgspec, pybase64]) python.unpackArchive(wheel, "wheel");
  python.unpackArchive(core, "zip", { extractDir: "/lib/python3.14/site-packages" });
  python.FS.writeFile("/home/pyodide/edge_stories.py", stories);
  return python;
}

let ready;
export default {
  async fetch(request, env) {
    const address = new URL(request.url);
    try {
      ready ??= boot(env);
      const python = await ready;
      python.globals.set("asked", python.toPy({
        name: address.pathname.slice(1), parameters: Object.fromEntries(address.searchParams),
      }));
      const told = await python.runPythonAsync(`
import json, edge_stories
json.dumps(await getattr(edge_stories, asked["name"])(**asked["parameters"]))
`);
      return new Response(told, { headers: { "content-type": "application/json" } });
    } catch (problem) {
      return new Response(String(problem.stack ?? problem), { status: 500 });
    }
  },
};
