// Microphone to 24 kHz PCM16 in chunks of 20 ms, on the audio thread. The gate decides whether chunks leave.

import { HEADER_BYTES, MIC, PRESS, RATE_HZ, RELEASE, frame } from "./wire";

const CHUNK = RATE_HZ / 50;
const LOBES = 12;
const PHASES = 256;

/** Windowed-sinc resampler from any rate to 24 kHz; low-pass below the lower of the two Nyquist frequencies. */
class Resampler {
  private readonly half: number;
  private readonly table: Float32Array;
  private readonly step: number;
  private history: Float32Array;
  private position: number;

  constructor(fromHz: number) {
    this.step = fromHz / RATE_HZ;
    const cutoff = 0.94 * Math.min(1, RATE_HZ / fromHz);
    this.half = Math.ceil(LOBES / cutoff);
    const taps = 2 * this.half;
    this.table = new Float32Array((PHASES + 1) * taps);
    for (let phase = 0; phase <= PHASES; phase++) {
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) {
        const x = tap - this.half + 1 - phase / PHASES;
        const window = Math.abs(x) < this.half ? 0.5 + 0.5 * Math.cos((Math.PI * x) / this.half) : 0;
        const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
        this.table[phase * taps + tap] = sinc * window;
        sum += sinc * window;
      }
      for (let tap = 0; tap < taps; tap++) this.table[phase * taps + tap]! /= sum;
    }
    this.history = new Float32Array(taps);
    this.position = this.half;
  }

  /** Samples at 24 kHz for as much of `input` as the filter can already see. */
  push(input: Float32Array, emit: (sample: number) => void): void {
    const taps = 2 * this.half;
    const all = new Float32Array(this.history.length + input.length);
    all.set(this.history);
    all.set(input, this.history.length);
    while (this.position + this.half < all.length) {
      const whole = Math.floor(this.position);
      const row = Math.round((this.position - whole) * PHASES) * taps;
      const from = whole - this.half + 1;
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += all[from + tap]! * this.table[row + tap]!;
      emit(sum);
      this.position += this.step;
    }
    const drop = Math.max(0, Math.floor(this.position) - this.half);
    this.history = all.slice(drop);
    this.position -= drop;
  }
}

class Capture extends AudioWorkletProcessor {
  private readonly resampler = sampleRate === RATE_HZ ? null : new Resampler(sampleRate);
  private chunk = new Int16Array(CHUNK);
  private filled = 0;
  private open = false;
  private talk = false;
  private out: MessagePort | null = null;
  private mix = new Float32Array(128);

  constructor() {
    super();
    this.port.onmessage = (message) => {
      const { port, open, talk } = message.data as { port?: MessagePort; open?: boolean; talk?: boolean };
      if (port) {
        this.out = port;
        // The button may have gone down before there was a way to say so.
        if (this.open && this.talk) port.postMessage(frame(PRESS));
      }
      if (open !== undefined) this.gate(open, talk ?? false);
    };
  }

  private gate(open: boolean, talk: boolean): void {
    if (open === this.open && talk === this.talk) return;
    if (this.open) {
      this.flush();
      if (this.talk) this.out?.postMessage(frame(RELEASE));
    }
    if (open && talk) this.out?.postMessage(frame(PRESS));
    this.open = open;
    this.talk = open && talk;
  }

  private flush(): void {
    if (this.filled === 0) return;
    const buffer = new ArrayBuffer(HEADER_BYTES + 2 * this.filled);
    new DataView(buffer).setUint8(0, MIC);
    new Int16Array(buffer, HEADER_BYTES).set(this.chunk.subarray(0, this.filled));
    this.out?.postMessage(buffer, [buffer]);
    this.filled = 0;
  }

  private push = (sample: number): void => {
    const clamped = Math.max(-1, Math.min(1, sample));
    this.chunk[this.filled++] = Math.round(clamped < 0 ? clamped * 0x8000 : clamped * 0x7fff);
    if (this.filled < CHUNK) return;
    if (this.open) this.flush();
    this.filled = 0;
  };

  process(inputs: Float32Array[][]): boolean {
    const channels = inputs[0];
    if (!channels?.length) return true;
    const frames = channels[0]!.length;
    if (this.mix.length !== frames) this.mix = new Float32Array(frames);
    for (let i = 0; i < frames; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i]!;
      this.mix[i] = sum / channels.length;
    }
    if (this.resampler) this.resampler.push(this.mix, this.push);
    else this.mix.forEach(this.push);
    return true;
  }
}

registerProcessor("duologue-capture", Capture);
