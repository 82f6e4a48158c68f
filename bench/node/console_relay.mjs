// What the console of 2024 put between a page and the API: for each caller a client of the reference library upstream, whose
// events go down as JSON made anew, while what the caller says is parsed and sent as an event of that client. Each event is a
// line of its log as well.
// Arguments: the upstream's address, and where to listen (0: anywhere). Prints its port.
const PEERS = "../../tests/compat/node/node_modules";
const { WebSocketServer } = await import(new URL(`${PEERS}/ws/wrapper.mjs`, import.meta.url));
const { RealtimeClient } = await import(new URL(`${PEERS}/openai-realtime-api/dist/index.js`, import.meta.url));

delete globalThis.WebSocket; // the Node of 2024 had none, so that the library took `ws`

const [upstreamUrl, port] = process.argv.slice(2);
const relay = new WebSocketServer({ host: "127.0.0.1", port: Number(port) });

relay.on("connection", async (caller) => {
  const client = new RealtimeClient({ apiKey: "none", url: upstreamUrl, relay: true });
  const early = [];
  const hear = (data) => {
    const event = JSON.parse(data);
    console.error("up", event.type);
    client.realtime.send(event.type, event);
  };
  client.realtime.on("server.*", (event) => {
    console.error("down", event.type);
    caller.send(JSON.stringify(event));
  });
  client.realtime.on("close", () => caller.close());
  caller.on("message", (data) => (client.isConnected ? hear(data) : early.push(data)));
  caller.on("close", () => client.disconnect());
  try {
    await client.connect();
    early.splice(0).forEach(hear);
  } catch {
    caller.close();
  }
});
relay.on("listening", () => console.log(`listening on ws://127.0.0.1:${relay.address().port}/v1/realtime`));
process.on("SIGTERM", () => process.exit(0));
