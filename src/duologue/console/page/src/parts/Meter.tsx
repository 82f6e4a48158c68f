// Level and spectrum of one side. Draws only while the page is visible and there is something to draw.

import { useEffect, useRef } from "preact/hooks";

const BARS = 24;
const LOW_HZ = 80;
const HIGH_HZ = 8000;

function draw(canvas: HTMLCanvasElement, analyser: AnalyserNode | null, bins: Uint8Array<ArrayBuffer>): void {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d")!;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = getComputedStyle(canvas).color;
  const step = width / BARS;
  const perBin = analyser ? analyser.context.sampleRate / analyser.fftSize : 1;
  analyser?.getByteFrequencyData(bins);
  for (let bar = 0; bar < BARS; bar++) {
    const from = LOW_HZ * (HIGH_HZ / LOW_HZ) ** (bar / BARS);
    const to = LOW_HZ * (HIGH_HZ / LOW_HZ) ** ((bar + 1) / BARS);
    let peak = 0;
    if (analyser) {
      const last = Math.max(Math.floor(from / perBin), Math.ceil(to / perBin) - 1);
      for (let bin = Math.floor(from / perBin); bin <= last; bin++) peak = Math.max(peak, bins[bin] ?? 0);
    }
    const tall = Math.max(2, (peak / 255) * height);
    pen.beginPath();
    pen.roundRect(bar * step + 0.5, (height - tall) / 2, Math.max(1, step - 2), tall, 1.5);
    pen.fill();
  }
}

/** Loudness 0-100 on a scale of decibels from -60 to 0. */
function level(analyser: AnalyserNode, samples: Float32Array<ArrayBuffer>): number {
  analyser.getFloatTimeDomainData(samples);
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-9);
  return Math.max(0, Math.min(100, Math.round((db + 60) * (100 / 60))));
}

export function Meter({ label, analyser, kind }: { label: string; analyser: AnalyserNode | null; kind: "you" | "model" }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const meter = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const bins = new Uint8Array(analyser?.frequencyBinCount ?? 0);
    const samples = new Float32Array(analyser?.fftSize ?? 0);
    let request = 0;
    let timer = 0;
    let shown = -1;
    const measure = (): void => {
      const now = analyser ? level(analyser, samples) : 0;
      if (now === shown) return;
      shown = now;
      meter.current?.setAttribute("aria-valuenow", String(now));
      meter.current?.style.setProperty("--level", `${now}%`);
    };
    const frame = (): void => {
      if (canvas.current) draw(canvas.current, analyser, bins);
      request = analyser ? requestAnimationFrame(frame) : 0;
    };
    const run = (): void => {
      cancelAnimationFrame(request);
      clearInterval(timer);
      if (document.hidden) return;
      measure();
      frame();
      if (analyser) timer = window.setInterval(measure, 100);
    };
    run();
    document.addEventListener("visibilitychange", run);
    // A picture of silence is not drawn again by itself: it would keep the colours of the other theme, and the other width.
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", run);
    const themed = new MutationObserver(run);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const sized = new ResizeObserver(run);
    sized.observe(canvas.current!);
    return () => {
      sized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", run);
      cancelAnimationFrame(request);
      clearInterval(timer);
      document.removeEventListener("visibilitychange", run);
    };
  }, [analyser]);
  return (
    <div class={`meter ${kind}`} role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={0} ref={meter}>
      <span class="meter-name" aria-hidden="true">
        {label}
      </span>
      <canvas ref={canvas} aria-hidden="true" />
      <span class="level" aria-hidden="true" />
    </div>
  );
}
