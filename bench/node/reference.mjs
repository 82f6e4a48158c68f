// What an append and an audio delta cost the 2024 reference client, by its port on npm, at minute 1 and at minute 30 of a turn.
// The socket is replaced: only the client's own work counts. Prints JSON: CPU µs per call.
const PEER = "../../tests/compat/node/node_modules/openai-realtime-api/dist/index.js";
const { RealtimeClient } = await import(new URL(PEER, import.meta.url));

const [rounds, calls] = process.argv.slice(2).map(Number);
const CHUNK = new Int16Array(2400).map((_, at) => (at * 7919) & 0x7fff);
const DELTA = Buffer.from(CHUNK.buffer).toString("base64");
const MINUTE = 600;

function client() {
  const made = new RealtimeClient({ apiKey: "none", url: "ws://127.0.0.1:9" });
  made.realtime.ws = { readyState: 1, send: () => {}, close: () => {} };
  Object.defineProperty(made.realtime, "isConnected", { get: () => true });
  return made;
}

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

// The state of minute N is made at once: what filled it is not what is measured.
function measure(minute, prepare, work) {
  const costs = [];
  for (let round = 0; round < rounds; round++) {
    const made = prepare(new Int16Array(minute * MINUTE * CHUNK.length));
    const begin = process.cpuUsage();
    for (let call = 0; call < calls; call++) work(made);
    const used = process.cpuUsage(begin);
    costs.push((used.user + used.system) / calls);
  }
  return median(costs);
}

function appending(before) {
  const made = client();
  made.inputAudioBuffer = before;
  return made;
}

function answering(before) {
  const made = client();
  const item = { id: "item_1", type: "message", role: "assistant", status: "in_progress", content: [{ type: "audio" }] };
  made.conversation.processEvent({ event_id: "e", type: "conversation.item.created", item });
  made.conversation.itemLookup.item_1.formatted.audio = before;
  return made;
}

const event = JSON.stringify({
  type: "response.audio.delta",
  event_id: "e",
  response_id: "r",
  item_id: "item_1",
  output_index: 0,
  content_index: 0,
  delta: DELTA,
});

const found = {};
for (const minute of [1, 30]) {
  found[`append ${minute}`] = measure(minute, appending, (made) => made.appendInputAudio(CHUNK));
  found[`delta ${minute}`] = measure(minute, answering, (made) => {
    const message = JSON.parse(event);
    made.realtime.receive(message.type, message);
  });
}
console.log(JSON.stringify(found));
process.exit(0);
