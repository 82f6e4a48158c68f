// One conversation of @openai/agents-realtime with the server, told as JSON lines on stdout.
// node scenario.mjs SCENARIO URL CLIPS [MCP]: CLIPS holds sounds as raw PCM16 at 24 kHz, NAME.pcm; at MCP is a remote
// server of tools.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostedMcpTool } from '@openai/agents-core';
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { z } from 'zod';

const [scenario, url, clips, mcpUrl] = process.argv.slice(2);
const WAIT_MS = 20_000;
const BYTES_PER_MS = 48;

const tell = (kind, value) => process.stdout.write(`${JSON.stringify({ kind, value })}\n`);

const SESSION_EVENTS = [
  'agent_start', 'agent_end', 'audio', 'audio_interrupted', 'guardrail_tripped', 'agent_handoff',
  'mcp_tools_changed', 'mcp_tool_call_completed', 'tool_approval_requested',
];

const getWeather = tool({
  name: 'get_weather',
  description: 'Tells the weather in a city.',
  parameters: z.object({ city: z.string().describe('Name of the city') }),
  execute: async ({ city }) => {
    tell('tool', { city });
    return `It is 21.5 degrees in ${city}.`;
  },
});

const assistant = () => new RealtimeAgent({ name: 'Assistant', instructions: 'Be brief.', tools: [getWeather] });

/** A session that is connected; `next(kind)` waits for an event of the session, `onWire(type)` for one of the server. */
async function connect(agent, { config = {}, apiKey = 'not needed', createWebSocket, ...options } = {}) {
  const transport = new OpenAIRealtimeWebSocket({ url, createWebSocket });
  const session = new RealtimeSession(agent, { transport, model: 'gpt-realtime', tracingDisabled: true, config, ...options });
  const seen = [];
  const waiting = new Set();
  const note = (source, name, detail) => {
    seen.push({ source, name, detail });
    for (const look of [...waiting]) look();
  };
  const understood = new Set();
  transport.on('*', (event) => {
    tell('wire', event);
    // An event that the client cannot parse reaches `*` but no listener of its own type.
    understood.delete(event.type);
    transport.once(event.type, () => understood.add(event.type));
    queueMicrotask(() => understood.has(event.type) || tell('dropped', event.type));
    setImmediate(() => note('wire', event.type, event));
  });
  session.on('error', (error) => tell('error', error));
  for (const name of SESSION_EVENTS) {
    session.on(name, (...details) => note('session', name, details));
  }
  let read = 0;
  const next = (source, name) =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no ${name} in ${WAIT_MS} ms`)), WAIT_MS);
      const look = () => {
        for (; read < seen.length; read += 1) {
          if (seen[read].source === source && seen[read].name === name) {
            clearTimeout(late);
            waiting.delete(look);
            resolve(seen[read++].detail);
            return;
          }
        }
      };
      waiting.add(look);
      look();
    });
  await session.connect({ apiKey, url });
  return { session, next: (name) => next('session', name), onWire: (type) => next('wire', type) };
}

function speak(session, name, silenceMs = 0) {
  const sound = Buffer.concat([readFileSync(join(clips, `${name}.pcm`)), Buffer.alloc(silenceMs * BYTES_PER_MS)]);
  for (let at = 0; at < sound.length; at += 100 * BYTES_PER_MS) {
    const piece = sound.subarray(at, at + 100 * BYTES_PER_MS);
    session.sendAudio(piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.byteLength));
  }
}

/** Asks for what only the remote server's tool knows, and waits for the answer that comes after the call. */
async function askRemotely(requireApproval, decide = async () => {}) {
  const remote = hostedMcpTool({ serverLabel: 'weather', serverUrl: mcpUrl, requireApproval });
  const agent = new RealtimeAgent({ name: 'Assistant', instructions: 'Be brief.', tools: [remote] });
  const talk = await connect(agent, { config: { outputModalities: ['text'] } });
  const [tools] = await talk.next('mcp_tools_changed');
  tell('listed', tools.map((each) => each.name));
  talk.session.sendMessage('what is the weather in paris');
  await decide(talk);
  const [, , call] = await talk.next('mcp_tool_call_completed');
  tell('called', { name: call.name, output: call.output, status: call.status });
  await talk.onWire('response.output_text.done');
  await talk.onWire('response.done');
  await history(talk, () => true);
  return talk;
}

const voice = (detection = {}) => ({
  audio: {
    input: {
      format: { type: 'audio/pcm', rate: 24000 },
      transcription: { model: 'gpt-4o-mini-transcribe' },
      turnDetection: { type: 'server_vad', silenceDurationMs: 500, interruptResponse: true, ...detection },
    },
  },
});

/** What the session's history shows once it has settled: the last answer is in it. */
async function history({ session, onWire }, settled) {
  while (!settled(session.history)) await onWire('conversation.item.retrieved');
  tell(
    'history',
    session.history.map((item) =>
      item.type === 'message'
        ? [item.role, item.content.map((part) => part.text ?? part.transcript ?? '').join(' ')]
        : [item.type, item.name],
    ),
  );
}

const SCENARIOS = {
  async text() {
    const talk = await connect(assistant());
    talk.session.sendMessage('what is seven times eight');
    await talk.next('audio');
    await talk.onWire('response.done');
    await history(talk, () => true);
    return talk;
  },

  /** As in a browser: a client secret, shown in a subprotocol of the platform's own WebSocket. */
  async browser() {
    const secrets = url.replace(/^ws/, 'http').replace(/\?.*/, '/client_secrets');
    const body = JSON.stringify({ session: { type: 'realtime', model: 'gpt-realtime' } });
    const answer = await fetch(secrets, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
    const { value } = await answer.json();
    const createWebSocket = async ({ url: address, apiKey }) => {
      const protocols = ['realtime', `openai-insecure-api-key.${apiKey}`, 'openai-agents-sdk.0.20.0'];
      return new globalThis.WebSocket(address, protocols);
    };
    const talk = await connect(assistant(), { apiKey: value, createWebSocket });
    tell('protocol', talk.session.transport.connectionState.websocket.protocol);
    talk.session.sendMessage('what is seven times eight');
    await talk.onWire('response.done');
    await history(talk, () => true);
    return talk;
  },

  async tool() {
    const talk = await connect(assistant(), { config: { outputModalities: ['text'] } });
    talk.session.sendMessage('what is the weather in paris');
    await talk.onWire('response.done');
    await talk.onWire('response.done');
    await history(talk, () => true);
    return talk;
  },

  async voice() {
    const talk = await connect(assistant(), { config: voice() });
    speak(talk.session, 'weather_in_paris', 800);
    await talk.onWire('response.done');
    await talk.onWire('response.done');
    await history(talk, (items) => items[0]?.content?.[0]?.transcript);
    return talk;
  },

  async defaults() {
    const talk = await connect(assistant());
    speak(talk.session, 'weather_in_paris', 9_000);
    await talk.onWire('response.done');
    await talk.onWire('response.done');
    await history(talk, (items) => items[0]?.content?.[0]?.transcript);
    return talk;
  },

  async bargeIn() {
    const talk = await connect(assistant(), { config: voice() });
    talk.session.sendMessage('count to 100');
    await talk.next('audio');
    speak(talk.session, 'seven_times_eight', 800);
    await talk.next('audio_interrupted');
    tell('cancelled', (await talk.onWire('response.done')).response.status_details);
    await talk.onWire('response.done');
    await history(talk, (items) => items[2]?.content?.[0]?.transcript);
    return talk;
  },

  async interrupt() {
    const talk = await connect(assistant(), { config: voice({ interruptResponse: false }) });
    talk.session.sendMessage('count to 100');
    await talk.next('audio');
    talk.session.interrupt();
    tell('cancelled', (await talk.onWire('response.done')).response.status_details);
    talk.session.sendMessage('say good morning');
    await talk.onWire('response.done');
    await history(talk, () => true);
    return talk;
  },

  async handoff() {
    const billing = new RealtimeAgent({
      name: 'Billing',
      instructions: 'Always mention the invoice.',
      handoffDescription: 'Answers billing questions.',
    });
    const front = new RealtimeAgent({ name: 'Front', instructions: 'Be brief.', tools: [getWeather], handoffs: [billing] });
    const talk = await connect(front, { config: { outputModalities: ['text'] } });
    talk.session.sendMessage('transfer me to billing');
    const [, from, to] = await talk.next('agent_handoff');
    tell('handoff', [from.name, to.name]);
    await talk.onWire('response.output_text.done');
    await talk.onWire('response.done');
    talk.session.sendMessage('say good morning');
    await talk.onWire('response.done');
    await history(talk, () => true);
    return talk;
  },

  async remote() {
    return askRemotely('never');
  },

  async remoteApproved() {
    return askRemotely('always', async ({ session, next }) => {
      const [, , { approvalItem }] = await next('tool_approval_requested');
      tell('asked', approvalItem.rawItem.name);
      await session.approve(approvalItem);
    });
  },

  async guardrail() {
    const talk = await connect(assistant(), {
      outputGuardrails: [
        {
          name: 'no_twenty',
          execute: async ({ agentOutput }) => ({
            tripwireTriggered: agentOutput.includes('twenty'),
            outputInfo: { said: agentOutput },
          }),
        },
      ],
      outputGuardrailSettings: { debounceTextLength: 20 },
    });
    talk.session.sendMessage('count to 100');
    await talk.next('guardrail_tripped');
    tell('cancelled', (await talk.onWire('response.done')).response.status_details);
    tell('after', (await talk.onWire('response.done')).response.status);
    return talk;
  },
};

process.on('uncaughtException', (error) => {
  tell('crash', String(error.stack ?? error));
  process.exit(1);
});
try {
  const talk = await SCENARIOS[scenario]();
  tell('end', scenario);
  talk.session.close();
} catch (error) {
  tell('crash', String(error.stack ?? error));
  process.exitCode = 1;
}
setTimeout(() => process.exit(), 500).unref();
