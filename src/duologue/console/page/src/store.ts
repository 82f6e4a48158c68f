// What Python says, as signals. The page decides nothing: it shows this and sends commands.

import { batch, computed, signal } from "@preact/signals";
import type {
  BannerView,
  CallView,
  EventHead,
  EventRow,
  Frame,
  ItemView,
  MoneyView,
  SessionView,
  UpstreamView,
  WeatherView,
} from "./types.gen";

export const call = signal<CallView | null>(null);
export const upstream = signal<UpstreamView | null>(null);
export const session = signal<SessionView | null>(null);
export const money = signal<MoneyView | null>(null);
export const memory = signal<Record<string, unknown>>({});
export const weather = signal<WeatherView[]>([]);
export const banners = signal<BannerView[]>([]);
export const items = signal<Map<string, ItemView>>(new Map());
export const order = signal<string[]>([]);
export const eventCount = signal(0);

/** Changed in place, up to 100,000 long; `rowsVersion` says when. */
export const rows: EventRow[] = [];
export const rowsVersion = signal(0);
export const expanded = new Map<number, EventHead[]>();
export const hits = signal<{ q: string; rows: number[] } | null>(null);

export const me = signal("");
export const linked = signal<"connecting" | "open" | "lost">("connecting");
export const mine = computed(() => me.value !== "" && call.value?.owner === me.value);
export const live = computed(() => call.value?.state === "connected" || call.value?.state === "connecting");

let epoch = "";
let rev = 0;
let socket: WebSocket | null = null;
let filterText = "";

/** A name for this tab that a reload keeps, so that the tab that talked goes on talking. */
function viewerId(): string {
  let id = sessionStorage.getItem("duologue-viewer");
  if (!id) {
    id = crypto.randomUUID?.() ?? Math.random().toString(36).slice(2);
    sessionStorage.setItem("duologue-viewer", id);
  }
  return id;
}

function apply(frame: Frame): void {
  if (frame.reset || frame.epoch !== epoch) {
    rows.length = 0;
    expanded.clear();
    items.value = new Map();
    order.value = [];
    eventCount.value = 0;
    rowsVersion.value++;
  }
  epoch = frame.epoch;
  rev = frame.rev;
  if (frame.you !== undefined) {
    me.value = frame.you;
    sessionStorage.setItem("duologue-viewer", frame.you);
  }
  if (frame.rows?.length) {
    for (const row of frame.rows) rows[row.n] = row;
    rowsVersion.value++;
  }
  if (frame.events !== undefined) eventCount.value = frame.events;
  if (frame.items?.length) {
    const next = new Map(items.value);
    for (const item of frame.items) next.set(item.id, item);
    items.value = next;
  }
  if (frame.order !== undefined) order.value = frame.order;
  if (frame.call !== undefined) call.value = frame.call;
  if (frame.upstream !== undefined) upstream.value = frame.upstream;
  if (frame.session !== undefined) session.value = frame.session;
  if (frame.money !== undefined) money.value = frame.money;
  if (frame.memory !== undefined) memory.value = frame.memory;
  if (frame.weather !== undefined) weather.value = frame.weather;
  if (frame.banners !== undefined) banners.value = frame.banners;
  if (frame.hits !== undefined && frame.hits.q === filterText) {
    const known = frame.hits.reset ? [] : (hits.value?.rows ?? []);
    const found = known.concat(frame.hits.rows);
    // A row that only now matches may stand before one that did already.
    hits.value = { q: frame.hits.q, rows: found.every((n, i) => !i || found[i - 1]! < n) ? found : found.sort((a, b) => a - b) };
  }
}

let wait = 250;

export function follow(): void {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const query = new URLSearchParams({ viewer: me.value || viewerId(), epoch, rev: String(rev) });
  const feed = new WebSocket(`${scheme}//${location.host}/ws/feed?${query}`);
  socket = feed;
  feed.onopen = () => {
    linked.value = "open";
    forget("unreachable");
    wait = 250;
    if (filterText) feed.send(JSON.stringify({ filter: filterText }));
  };
  feed.onmessage = (message) => {
    const frame = JSON.parse(message.data as string) as Frame;
    batch(() => apply(frame));
  };
  feed.onclose = () => {
    if (socket !== feed) return;
    linked.value = "lost";
    setTimeout(() => void reconnect(), wait);
    wait = Math.min(wait * 2, 4000);
  };
}

/** After a restart of the process this page's cookie is void: only loading the page again helps. */
async function reconnect(): Promise<void> {
  try {
    const answer = await fetch("/api/hello", { method: "POST", body: "{}" });
    if (answer.status === 403) return location.reload();
  } catch {
    // Nobody is listening yet; the socket will fail too and come back here.
  }
  follow();
}

export function setFilter(text: string): void {
  filterText = text.trim();
  hits.value = filterText ? { q: filterText, rows: [] } : null;
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ filter: filterText }));
}

export interface Problem {
  id: number;
  code: string;
  cause: string;
  step: string;
  /** The command that was refused; its next success takes the problem away. */
  command: string;
}

/** Problems that only the browser can know: microphone, loudspeaker, socket. */
export const problems = signal<Problem[]>([]);
let problemCount = 0;

export function report(code: string, cause: string, step: string, command = ""): void {
  problems.value = [
    ...problems.value.filter((known) => known.code !== code && (!command || known.command !== command)),
    { id: --problemCount, code, cause, step, command },
  ];
}

export function forget(code: string): void {
  problems.value = problems.value.filter((known) => known.code !== code);
}

/** Send a command; false (and a banner) if it was refused. */
export async function send(command: string, body: Record<string, unknown> = {}): Promise<boolean> {
  const refusal = await attempt(command, body);
  if (refusal === null) problems.value = problems.value.filter((known) => known.command !== command);
  else report(refusal.code, refusal.cause, refusal.step, command);
  return refusal === null;
}

/** Why the console does not take a setting, by its field. */
export const refusals = signal<Record<string, string>>({});

/** Change one setting; a refusal is told beside its field. */
export async function change(field: string, value: unknown): Promise<void> {
  const refusal = await attempt("session", { changes: { [field]: value } });
  const { [field]: _, ...others } = refusals.value;
  refusals.value = refusal === null ? others : { ...others, [field]: refusal.cause || refusal.code };
}

async function attempt(
  command: string,
  body: Record<string, unknown>,
): Promise<{ code: string; cause: string; step: string } | null> {
  try {
    const answer = await post(command, body);
    forget("unreachable");
    if (answer.ok) return null;
    const refusal = (await answer.json().catch(() => ({}))) as { code?: string; cause?: string; step?: string };
    return { code: refusal.code ?? "refused", cause: refusal.cause ?? `HTTP ${answer.status}`, step: refusal.step ?? "" };
  } catch {
    return { code: "unreachable", cause: "", step: "" };
  }
}

export function post(command: string, body: Record<string, unknown> = {}): Promise<Response> {
  return fetch(`/api/${command}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ viewer: me.value, ...body }),
  });
}
