// Microphone and loudspeaker of this tab. One recorder at most: every start and stop goes through one queue.

import { effect, signal, untracked } from "@preact/signals";
import { call, forget, live, mine, post, report } from "../store";
import { RATE_HZ } from "./wire";

export const micLevel = signal<AnalyserNode | null>(null);
export const modelLevel = signal<AnalyserNode | null>(null);
export const micReady = signal(false);
export const pressed = signal(false);
export const replaying = signal("");
export const inputs = signal<MediaDeviceInfo[]>([]);
export const outputs = signal<MediaDeviceInfo[]>([]);
export const inputId = signal(localStorage.getItem("duologue-mic") ?? "");
export const outputId = signal(localStorage.getItem("duologue-speaker") ?? "");
export const canPickOutput = "setSinkId" in AudioContext.prototype;

interface Recorder {
  context: AudioContext;
  node: AudioWorkletNode;
  stream: MediaStream;
}

let speaker: { context: AudioContext; node: AudioWorkletNode } | null = null;
let recorder: Recorder | null = null;
let worker: Worker | null = null;
let replay: AudioBufferSourceNode | null = null;
let replays = 0;
let chain: Promise<void> = Promise.resolve();
let wanted = false;

function queue(step: () => Promise<void>): Promise<void> {
  chain = chain.then(step, step).catch((error: unknown) => report("audio", String(error), ""));
  return chain;
}

async function openSpeaker(): Promise<AudioContext> {
  if (speaker) {
    if (speaker.context.state !== "running") void speaker.context.resume();
    return speaker.context;
  }
  const context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
  await context.audioWorklet.addModule("/assets/playback-worklet.js");
  const node = new AudioWorkletNode(context, "duologue-playback", { numberOfInputs: 0, outputChannelCount: [1] });
  const analyser = new AnalyserNode(context, { fftSize: 1024, smoothingTimeConstant: 0.5 });
  node.connect(analyser).connect(context.destination);
  speaker = { context, node };
  modelLevel.value = analyser;
  setInterval(() => {
    const seconds = context.outputLatency || context.baseLatency || 0;
    node.port.postMessage({ latencySamples: Math.round(seconds * RATE_HZ) });
  }, 1000);
  context.onstatechange = () => {
    if (context.state === "running") forget("sound-blocked");
  };
  await useOutput();
  return context;
}

async function openMic(): Promise<void> {
  if (!navigator.mediaDevices?.getUserMedia) {
    report("mic-insecure", "", "");
    return;
  }
  const exact = inputId.value && inputs.value.some((device) => device.deviceId === inputId.value);
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: {
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
        channelCount: 1,
        ...(exact ? { deviceId: { exact: inputId.value } } : {}),
      },
    });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    if (name === "NotAllowedError") report("mic-denied", "", "");
    else if (name === "NotFoundError" || name === "OverconstrainedError") report("mic-missing", "", "");
    else report("mic-busy", String(error), "");
    return;
  }
  for (const code of ["mic-denied", "mic-missing", "mic-busy", "mic-lost"]) forget(code);
  // The device's own rate: a context with another one cannot take the microphone in every browser.
  const context = new AudioContext({ latencyHint: "interactive" });
  await context.audioWorklet.addModule("/assets/capture-worklet.js");
  const node = new AudioWorkletNode(context, "duologue-capture", { numberOfOutputs: 0 });
  const analyser = new AnalyserNode(context, { fftSize: 1024, smoothingTimeConstant: 0.5 });
  const source = new MediaStreamAudioSourceNode(context, { mediaStream: stream });
  source.connect(analyser);
  source.connect(node);
  stream.getAudioTracks()[0]!.onended = () => {
    report("mic-lost", "", "");
    void queue(closeMic);
  };
  recorder = { context, node, stream };
  micLevel.value = analyser;
  micReady.value = true;
  await listDevices();
}

async function closeMic(): Promise<void> {
  const closing = recorder;
  recorder = null;
  micReady.value = false;
  pressed.value = false;
  micLevel.value = null;
  if (!closing) return;
  closing.node.port.postMessage({ open: false });
  for (const track of closing.stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
  await closing.context.close();
}

function plug(): void {
  if (!worker || !recorder) return;
  const pipe = new MessageChannel();
  recorder.node.port.postMessage({ port: pipe.port1 }, [pipe.port1]);
  worker.postMessage({ capture: pipe.port2 }, [pipe.port2]);
  gate();
}

async function start(): Promise<void> {
  if (worker || !wanted) return;
  await openSpeaker();
  const pipe = new MessageChannel();
  speaker!.node.port.postMessage({ port: pipe.port1 }, [pipe.port1]);
  worker = new Worker("/assets/audio-worker.js", { type: "module" });
  const opened = new Promise<void>((resolve) => {
    worker!.onmessage = (message: MessageEvent) => {
      const { state, dropped, code } = message.data as { state?: string; dropped?: number; code?: number };
      if (dropped) report("uplink", "", "");
      if (state) resolve();
      if (state === "closed") void queue(() => lost(code ?? 0));
    };
  });
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const url = `${scheme}//${location.host}/ws/audio?viewer=${encodeURIComponent(untracked(ownName))}`;
  worker.postMessage({ url, playback: pipe.port2 }, [pipe.port2]);
  await opened;
  await openMic();
  plug();
  if (speaker!.context.state !== "running") {
    await Promise.race([speaker!.context.resume(), new Promise((resolve) => setTimeout(resolve, 500))]);
    if ((speaker!.context.state as string) !== "running") report("sound-blocked", "", "");
  }
}

let ownName: () => string = () => "";

/** The socket ended by itself: a call that goes on gets a new one, another tab that took over does not. */
async function lost(code: number): Promise<void> {
  const again = wanted && code !== 4001;
  await stop();
  if (again) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await start();
  }
}

async function stop(): Promise<void> {
  speaker?.node.port.postMessage({ clear: true });
  worker?.postMessage({ close: true });
  worker = null;
  await closeMic();
}

function gate(): void {
  if (!recorder) return;
  const connected = call.value?.state === "connected";
  const vad = call.value?.mode === "vad";
  recorder.node.port.postMessage({ open: connected && (vad || pressed.value), talk: !vad });
}

/** Call from a click: browsers let a page make sound only after one. */
export function unlock(): void {
  void queue(async () => {
    await openSpeaker();
    forget("sound-blocked");
  });
}

export function press(): void {
  if (pressed.value || call.value?.state !== "connected" || call.value.mode !== "manual" || !mine.value) return;
  // What is playing stops here, before Python has even heard of it; the ledger tells it where.
  speaker?.node.port.postMessage({ clear: true });
  pressed.value = true;
  if (recorder) return gate();
  // The microphone is still being opened, or was refused before: the recording begins as soon as there is one.
  void queue(async () => {
    if (!recorder) {
      await openMic();
      plug();
    }
    if (recorder) gate();
    else pressed.value = false;
  });
}

export function release(): void {
  if (!pressed.value) return;
  pressed.value = false;
  gate();
}

export async function listDevices(): Promise<void> {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  inputs.value = all.filter((device) => device.kind === "audioinput" && device.deviceId);
  outputs.value = all.filter((device) => device.kind === "audiooutput" && device.deviceId);
}

export function chooseInput(id: string): void {
  inputId.value = id;
  localStorage.setItem("duologue-mic", id);
  if (!worker) return;
  void queue(async () => {
    await closeMic();
    await openMic();
    plug();
  });
}

export function chooseOutput(id: string): void {
  outputId.value = id;
  localStorage.setItem("duologue-speaker", id);
  void queue(useOutput);
}

async function useOutput(): Promise<void> {
  const context = speaker?.context as (AudioContext & { setSinkId?(id: string): Promise<void> }) | undefined;
  try {
    if (outputId.value || canPickOutput) await context?.setSinkId?.(outputId.value);
    forget("speaker");
  } catch {
    if (outputId.value) report("speaker", "", "");
  }
}

/** Play an item again, or stop it if it is the one that sounds. */
export async function playItem(id: string): Promise<void> {
  const again = replaying.value !== id;
  stopReplay();
  if (!again) return;
  replaying.value = id;
  await playBytes(post("item/audio", { id }), () => (replaying.value = ""));
}

/** Play the sound of one event. */
export async function playEvent(n: number): Promise<void> {
  stopReplay();
  await playBytes(post("event/audio", { n }), () => undefined);
}

async function playBytes(request: Promise<Response>, ended: () => void): Promise<void> {
  // Whatever was asked for before, and is still on its way, is not wanted any more.
  const ticket = ++replays;
  try {
    const answer = await request;
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const context = await openSpeaker();
    const buffer = await context.decodeAudioData(await answer.arrayBuffer());
    if (ticket !== replays) return;
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(modelLevel.value!).connect(context.destination);
    source.onended = () => {
      source.disconnect();
      if (ticket === replays) ended();
    };
    replay = source;
    source.start();
  } catch (error) {
    if (ticket !== replays) return;
    ended();
    report("replay", String(error), "");
  }
}

function stopReplay(): void {
  replays++;
  replay?.stop();
  replay = null;
  replaying.value = "";
}

/** From now on the recorder follows the call: it runs exactly while this tab owns a live one. */
export function followCall(name: () => string): void {
  ownName = name;
  effect(() => {
    const now = live.value && mine.value;
    if (now === wanted) return;
    wanted = now;
    untracked(() => void queue(() => (wanted ? start() : stop())));
  });
  effect(() => {
    if (call.value?.mode === "vad") pressed.value = false;
    gate();
  });
  navigator.mediaDevices?.addEventListener("devicechange", () => void listDevices());
  // Not every browser tells of the microphone's permission; there the next try finds out.
  navigator.permissions
    ?.query({ name: "microphone" as PermissionName })
    .then((permission) => {
      permission.onchange = () => permission.state === "granted" && forget("mic-denied");
    })
    .catch(() => undefined);
  const letGo = (): void => release();
  window.addEventListener("blur", letGo);
  document.addEventListener("visibilitychange", () => document.hidden && letGo());
}
