// Plays tracks (one per item and content part) in order at 24 kHz and keeps the ledger of what has left the loudspeaker.
// The ledger is per track and survives underruns, so "heard so far" is right however the network stuttered.

import { CLEAR, CLEARED, END, HEADER_BYTES, HEARD, RATE_HZ, SOUND, frame } from "./wire";

const FLOOR = 0.04 * RATE_HZ;
const CEILING = 0.24 * RATE_HZ;
const REPORT_EVERY = 0.1 * RATE_HZ;
const CALM = 3 * RATE_HZ;

interface Chunk {
  track: number;
  samples: Int16Array;
  at: number;
}

class Playback extends AudioWorkletProcessor {
  private queue: Chunk[] = [];
  private buffered = 0;
  private readonly played = new Map<number, number>();
  private readonly reported = new Map<number, number>();
  private readonly ended = new Set<number>();
  private newest = 0;
  private deadUpTo = 0;
  private running = false;
  private waited = 0;
  private calm = 0;
  private sinceReport = 0;
  // How much must be there before (re)starting: grows with each underrun, shrinks again while the line is calm.
  private target = FLOOR;
  private latency = 0;
  private out: MessagePort | null = null;

  constructor() {
    super();
    this.port.onmessage = (message) => {
      const { port, latencySamples, clear } = message.data as {
        port?: MessagePort;
        latencySamples?: number;
        clear?: boolean;
      };
      if (latencySamples !== undefined) this.latency = latencySamples;
      if (clear) this.clear(0);
      if (port) {
        this.out = port;
        port.onmessage = (event) => this.take(event.data as ArrayBuffer);
      }
    };
  }

  private take(buffer: ArrayBuffer): void {
    const view = new DataView(buffer);
    const kind = view.getUint8(0);
    const word = view.getUint32(HEADER_BYTES, true);
    if (kind === CLEAR) return this.clear(word);
    if (word <= this.deadUpTo) return;
    this.newest = Math.max(this.newest, word);
    if (kind === END) this.ended.add(word);
    if (kind !== SOUND) return;
    const samples = new Int16Array(buffer, HEADER_BYTES + 4);
    if (!this.played.has(word)) this.played.set(word, 0);
    this.queue.push({ track: word, samples, at: 0 });
    this.buffered += samples.length;
  }

  /** Everything queued is dropped and its tracks are dead: late sound of them is ignored. */
  private clear(request: number): void {
    const pairs: number[] = [];
    for (const track of this.played.keys()) pairs.push(track, this.heard(track));
    this.out?.postMessage(frame(CLEARED, request, ...pairs));
    this.queue = [];
    this.buffered = 0;
    this.deadUpTo = this.newest;
    this.played.clear();
    this.reported.clear();
    this.ended.clear();
    this.running = false;
  }

  /** Samples that have reached the ear: of the track that sounds, the last are still inside the sound card. */
  private heard(track: number): number {
    const sounding = this.running && track === this.queue[0]?.track;
    return Math.max(0, (this.played.get(track) ?? 0) - (sounding ? this.latency : 0));
  }

  private report(): void {
    this.sinceReport = 0;
    const pairs: number[] = [];
    for (const track of this.played.keys()) {
      const samples = this.heard(track);
      if (this.reported.get(track) !== samples) pairs.push(track, samples);
      this.reported.set(track, samples);
    }
    if (pairs.length) this.out?.postMessage(frame(HEARD, ...pairs));
    const sounding = this.queue[0]?.track;
    for (const track of this.ended) {
      if (track === sounding || this.queue.some((chunk) => chunk.track === track)) continue;
      this.played.delete(track);
      this.reported.delete(track);
      this.ended.delete(track);
    }
  }

  private mayStart(frames: number): boolean {
    if (this.queue.length === 0) return false;
    this.waited += frames;
    const last = this.queue[this.queue.length - 1]!.track;
    return this.buffered >= this.target || this.ended.has(last) || this.waited > 2 * this.target;
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const out = outputs[0]![0]!;
    if (!this.running) {
      if (!this.mayStart(out.length)) return true;
      this.running = true;
      this.waited = 0;
    }
    let written = 0;
    let track = 0;
    while (written < out.length && this.queue.length) {
      const head = this.queue[0]!;
      track = head.track;
      const count = Math.min(out.length - written, head.samples.length - head.at);
      for (let i = 0; i < count; i++) out[written + i] = head.samples[head.at + i]! / 0x8000;
      head.at += count;
      written += count;
      this.played.set(track, (this.played.get(track) ?? 0) + count);
      if (head.at === head.samples.length) this.queue.shift();
    }
    this.buffered -= written;
    this.sinceReport += out.length;
    this.calm += out.length;
    if (this.calm > CALM) {
      this.calm = 0;
      this.target = Math.max(FLOOR, this.target * 0.75);
    }
    if (this.queue.length === 0) {
      this.running = false;
      if (!this.ended.has(track)) {
        this.target = Math.min(CEILING, this.target * 2);
        this.calm = 0;
      }
      this.report();
    } else if (this.sinceReport >= REPORT_EVERY) {
      this.report();
    }
    return true;
  }
}

registerProcessor("duologue-playback", Playback);
