// The event list: only the lines in sight exist in the page, however long the log is.

import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { playEvent } from "../audio/engine";
import { t } from "../i18n";
import { eventCount, expanded, hits, post, rows, rowsVersion, setFilter } from "../store";
import type { EventBody, EventHead, EventRow } from "../types.gen";

const LINE_PX = 24;
const SPARE = 8;
const CHILDREN = 2000; // as many as one answer holds

/** A line of the grid: a row, or one event inside an opened row. */
interface Line {
  row: EventRow;
  child: EventHead | null;
}

const selected = signal<{ n: number; row: EventRow } | null>(null);

function rowCount(): number {
  return hits.value ? hits.value.rows.length : rows.length;
}

function rowAt(index: number): EventRow | undefined {
  return hits.value ? rows[hits.value.rows[index]!] : rows[index];
}

function lineCount(): number {
  let count = rowCount();
  if (!expanded.size) return count;
  const shown = hits.value ? new Set(hits.value.rows) : null;
  for (const [n, children] of expanded) if (!shown || shown.has(n)) count += children.length;
  return count;
}

/** Where row `n` stands among the hits, which are in order; -1 if it is none of them. */
function hitIndex(sorted: readonly number[], n: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < n) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === n ? low : -1;
}

/** Where the opened rows stand in the present list, in order. */
function opened(): { index: number; children: EventHead[] }[] {
  const list = [...expanded].map(([n, children]) => ({ index: hits.value ? hitIndex(hits.value.rows, n) : n, children }));
  return list.filter((entry) => entry.index >= 0).sort((a, b) => a.index - b.index);
}

function linesFrom(start: number, count: number): Line[] {
  const open = opened();
  const lines: Line[] = [];
  let before = 0;
  let index = start;
  let skip = 0;
  for (const entry of open) {
    const at = entry.index + before;
    if (start <= at) break;
    if (start <= at + entry.children.length) {
      index = entry.index;
      skip = start - at;
      break;
    }
    before += entry.children.length;
    index = start - before;
  }
  for (; lines.length < count; index++) {
    const row = rowAt(index);
    if (!row) break;
    if (skip === 0) lines.push({ row, child: null });
    const children = expanded.get(row.n);
    for (let i = Math.max(0, skip - 1); children && i < children.length && lines.length < count; i++) {
      lines.push({ row, child: children[i]! });
    }
    skip = 0;
  }
  return lines;
}

async function toggle(row: EventRow): Promise<void> {
  if (expanded.delete(row.n) || row.count < 2) {
    rowsVersion.value++;
    return;
  }
  expanded.set(row.n, []);
  rowsVersion.value++;
  await fill(row.n);
}

const filling = new Set<number>();

/** Fetch what an opened row does not show yet: all of it at first, later what it has grown by. */
async function fill(n: number): Promise<void> {
  const known = expanded.get(n);
  if (!known || filling.has(n)) return;
  filling.add(n);
  try {
    while (expanded.get(n) === known && known.length < (rows[n]?.count ?? 0)) {
      const answer = await post("events/children", { row: n, offset: known.length, limit: CHILDREN });
      const more = answer.ok ? ((await answer.json()) as EventHead[]) : [];
      if (!more.length) break;
      known.push(...more);
      rowsVersion.value++;
    }
  } finally {
    filling.delete(n);
  }
}

export function clock(ms: number): string {
  const minutes = Math.floor(ms / 60000);
  const rest = ((ms % 60000) / 1000).toFixed(2).padStart(5, "0");
  return `${String(minutes).padStart(2, "0")}:${rest}`;
}

function size(bytes: number): string {
  return bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A type keeps both ends in sight: its beginning is common to many, its end is where they differ. */
function Kind({ type }: { type: string }) {
  const cut = type.lastIndexOf(".");
  if (cut < 8) return <b>{type}</b>;
  return (
    <b>
      <span class="front">{type.slice(0, cut)}</span>
      <span class="back">{type.slice(cut)}</span>
    </b>
  );
}

function Row({ line, index, active }: { line: Line; index: number; active: boolean }) {
  const { row, child } = line;
  const n = child ? child.n : row.first;
  const open = expanded.has(row.n);
  const kind = row.type === "error" || row.type.endsWith(".failed") ? "bad" : row.by;
  return (
    <div
      id={`event-${index}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected.value?.n === n && active}
      aria-expanded={!child && row.count > 1 ? open : undefined}
      class={`line ${kind} ${active ? "active" : ""} ${child ? "child" : ""}`}
      style={{ top: `${index * LINE_PX}px` }}
      data-index={index}
    >
      <span role="gridcell" class="at">
        {clock(child ? child.t_ms : row.t_ms)}
      </span>
      <span role="gridcell" class="way" aria-label={row.by === "client" ? t("fromYou") : t("fromModel")}>
        {row.by === "client" ? "↑" : "↓"}
      </span>
      <span role="gridcell" class="type">
        <Kind type={row.type} />
        {(child ? child.note : row.note) && <em>{child ? child.note : row.note}</em>}
      </span>
      <span role="gridcell" class="times">
        {!child && row.count > 1 && (
          <button type="button" class="fold" tabIndex={-1} data-fold="1" aria-label={`${t("count")} ${row.count}`}>
            ×{row.count} {open ? "▾" : "▸"}
          </button>
        )}
      </span>
      <span role="gridcell" class="size">
        {size(child ? child.size : row.size)}
      </span>
    </div>
  );
}

function Detail() {
  const chosen = selected.value;
  const [body, setBody] = useState<EventBody | null>(null);
  const [whole, setWhole] = useState<{ text: string; bytes: number; decoder: TextDecoder } | null>(null);
  useEffect(() => {
    setBody(null);
    setWhole(null);
    if (!chosen) return;
    let current = true;
    void post("event", { n: chosen.n }).then(async (answer) => {
      if (answer.ok && current) setBody((await answer.json()) as EventBody);
    });
    return () => {
      current = false;
    };
  }, [chosen?.n, chosen?.row.type]);
  if (!chosen || !body) return null;
  const more = async (): Promise<void> => {
    const { text, bytes, decoder } = whole ?? { text: "", bytes: 0, decoder: new TextDecoder() };
    const answer = await post("event/raw", { n: chosen.n, offset: bytes, limit: 200_000 });
    if (!answer.ok) return;
    const piece = await answer.arrayBuffer(); // it may end inside a character
    if (selected.value?.n !== chosen.n) return;
    setWhole({ text: text + decoder.decode(piece, { stream: true }), bytes: bytes + piece.byteLength, decoder });
  };
  return (
    <div class="detail" role="group" aria-label={chosen.row.type}>
      <div class="detail-head">
        <strong>{chosen.row.type}</strong>
        <span class="faint">
          #{chosen.n} · {size(body.size)}
        </span>
        <div class="detail-actions">
          {body.audio_ms > 0 && (
            <>
              <button type="button" class="quiet" onClick={() => void playEvent(chosen.n)}>
                {t("hear")}
              </button>
              <button type="button" class="quiet" onClick={() => void more()} disabled={whole !== null && whole.bytes >= body.size}>
                {t(whole ? "moreBytes" : "whole")}
              </button>
            </>
          )}
          <button type="button" class="quiet" onClick={() => void navigator.clipboard?.writeText(whole?.text ?? body.json)}>
            {t("copy")}
          </button>
        </div>
        <button type="button" class="quiet close" aria-label={t("close")} onClick={() => (selected.value = null)}>
          ×
        </button>
      </div>
      <pre tabIndex={0}>{whole?.text ?? body.json}</pre>
    </div>
  );
}

export function Events() {
  const grid = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(400);
  const [active, setActive] = useState(-1);
  const [tail, setTail] = useState(true);
  const version = rowsVersion.value;
  const count = lineCount();

  useEffect(() => {
    const watch = new ResizeObserver(() => grid.current && setHeight(grid.current.clientHeight));
    watch.observe(grid.current!);
    return () => watch.disconnect();
  }, []);

  useEffect(() => {
    for (const [n, children] of expanded) if (children.length < (rows[n]?.count ?? 0)) void fill(n);
  }, [version]);

  useLayoutEffect(() => {
    if (tail && grid.current) grid.current.scrollTop = grid.current.scrollHeight;
  }, [version, count, tail, height]);

  const scrolled = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = grid.current!;
    setTop(scrollTop);
    setTail(scrollHeight - scrollTop - clientHeight < LINE_PX * 1.5);
  };

  const lineAt = (index: number): Line | undefined => linesFrom(index, 1)[0];

  const show = (index: number): void => {
    const line = lineAt(index);
    if (line) selected.value = { n: line.child?.n ?? line.row.first, row: line.row };
  };

  const move = (index: number): void => {
    const next = Math.max(0, Math.min(count - 1, index));
    setActive(next);
    if (selected.value) show(next);
    const box = grid.current!;
    const at = next * LINE_PX;
    if (at < box.scrollTop) box.scrollTop = at;
    if (at + LINE_PX > box.scrollTop + box.clientHeight) box.scrollTop = at + LINE_PX - box.clientHeight;
  };

  const key = (event: KeyboardEvent): void => {
    const page = Math.floor(height / LINE_PX) - 1;
    const line = active >= 0 ? lineAt(active) : undefined;
    const fold = (wish: boolean): void => {
      if (line && expanded.has(line.row.n) !== wish) void toggle(line.row);
    };
    const actions: Record<string, () => void> = {
      ArrowDown: () => move(active + 1),
      ArrowUp: () => move(active - 1),
      PageDown: () => move(active + page),
      PageUp: () => move(active - page),
      Home: () => move(0),
      End: () => move(count - 1),
      ArrowRight: () => fold(true),
      ArrowLeft: () => fold(false),
      Enter: () => show(active),
      Escape: () => (selected.value = null),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };

  const click = (event: MouseEvent): void => {
    const target = event.target as HTMLElement;
    const index = Number(target.closest<HTMLElement>("[data-index]")?.dataset.index ?? -1);
    const line = index >= 0 ? lineAt(index) : undefined;
    if (!line) return;
    setActive(index);
    if (target.closest("[data-fold]")) void toggle(line.row);
    else show(index);
  };

  const start = Math.max(0, Math.floor(top / LINE_PX) - SPARE);
  const lines = linesFrom(start, Math.ceil(height / LINE_PX) + 2 * SPARE);
  return (
    <section class="events pane" data-part="events">
      <div class="pane-head">
        <h2>{t("events")}</h2>
        <input
          type="search"
          aria-label={t("filter")}
          placeholder={t("filterHint")}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
        <span class="faint">
          {hits.value ? t("rowsOf", hits.value.rows.length, rows.length) : t("eventsTotal", eventCount.value)}
        </span>
      </div>
      <div class="grid-box">
        <div
          class="grid"
          role="grid"
          aria-label={t("events")}
          aria-rowcount={count + 1}
          aria-activedescendant={active >= 0 ? `event-${active}` : undefined}
          tabIndex={0}
          ref={grid}
          onScroll={scrolled}
          onKeyDown={key}
          onClick={click}
        >
          <div class="line head" role="row" aria-rowindex={1}>
            <span role="columnheader" class="at">
              {t("time")}
            </span>
            <span role="columnheader" class="way" aria-label={t("direction")} />
            <span role="columnheader" class="type">
              {t("type")}
            </span>
            <span role="columnheader" class="times" aria-label={t("count")} />
            <span role="columnheader" class="size">
              {t("size")}
            </span>
          </div>
          <div class="lines" role="rowgroup" style={{ height: `${count * LINE_PX}px` }}>
            {lines.map((line, offset) => (
              <Row key={start + offset} line={line} index={start + offset} active={start + offset === active} />
            ))}
          </div>
          {count === 0 && <p class="empty">{t(hits.value && rows.length > 0 ? "noHits" : "noEvents")}</p>}
        </div>
        {!tail && (
          <button type="button" class="tail" onClick={() => setTail(true)}>
            ↓ {t("tail")}
          </button>
        )}
      </div>
      <Detail />
    </section>
  );
}
