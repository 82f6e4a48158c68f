// Before anything else is evaluated: with a `process` there, Pyodide takes the place for Node.
globalThis.process = undefined;
