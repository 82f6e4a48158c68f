// A relay that looks at nothing: what either end says is handed to the other, as `ws` has read it.
// Arguments: the upstream's address, and where to listen (0: anywhere). Prints its port.
const PEER = "../../tests/compat/node/node_modules/ws/wrapper.mjs";
const { WebSocket, WebSocketServer } = await import(new URL(PEER, import.meta.url));

const [upstreamUrl, port] = process.argv.slice(2);
const relay = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false });

relay.on("connection", (caller) => {
  const early = [];
  const upstream = new WebSocket(upstreamUrl, { perMessageDeflate: false });
  upstream.on("open", () => {
    for (const [data, binary] of early) upstream.send(data, { binary });
  });
  caller.on("message", (data, binary) => {
    if (upstream.readyState === WebSocket.OPEN) upstream.send(data, { binary });
    else early.push([data, binary]);
  });
  upstream.on("message", (data, binary) => caller.send(data, { binary }));
  caller.on("close", () => upstream.close());
  upstream.on("close", () => caller.close());
  caller.on("error", () => upstream.terminate());
  upstream.on("error", () => caller.terminate());
});
relay.on("listening", () => console.log(`listening on ws://127.0.0.1:${relay.address().port}/v1/realtime`));
process.on("SIGTERM", () => process.exit(0));
