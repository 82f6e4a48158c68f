import { defineConfig } from "vite";

// The worklets and the worker are entries of their own with fixed names: they are loaded by address, not imported.
export default defineConfig({
  base: "/",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    license: { fileName: "licenses.md" },
    rollupOptions: {
      input: {
        index: "index.html",
        "audio-worker": "src/audio/worker.ts",
        "capture-worklet": "src/audio/capture.ts",
        "playback-worklet": "src/audio/playback.ts",
      },
      output: {
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
});
