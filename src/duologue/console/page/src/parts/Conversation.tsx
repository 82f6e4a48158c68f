import { useLayoutEffect, useRef } from "preact/hooks";
import { playItem, replaying } from "../audio/engine";
import { explain, t } from "../i18n";
import { items, order, send } from "../store";
import type { ItemView } from "../types.gen";

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 1).replace(/\n\s*/g, " ");
  } catch {
    return json;
  }
}

function role(item: ItemView): string {
  if (item.kind === "function_call") return t("toolCall");
  if (item.kind === "function_call_output") return t("toolOutput");
  if (item.role === "user" || item.role === "assistant" || item.role === "system") return t(item.role);
  return item.kind.replaceAll("_", " ");
}

function Words({ item }: { item: ItemView }) {
  if (item.tool) {
    return (
      <code class="words">
        {item.tool.name}({pretty(item.tool.arguments)})
      </code>
    );
  }
  if (item.kind === "function_call_output") return <code class="words">{pretty(item.output)}</code>;
  if (!item.text && !item.unheard) {
    if (item.awaiting_transcript) return <p class="words faint">{t("awaiting")}</p>;
    if (item.status === "in_progress") return <p class="words faint">{item.role === "user" ? t("listening") : "…"}</p>;
    if (item.problem) return null;
    return <p class="words faint">{t(item.no_words ? "noWords" : "noTranscript")}</p>;
  }
  return (
    <p class="words">
      {item.text}
      {item.unheard && (
        <>
          {item.text && " "}
          <span class="unheard">
            <span class="aside">{t("unheard")}</span> <s>{item.unheard}</s>
          </span>
        </>
      )}
    </p>
  );
}

function Sound({ item }: { item: ItemView }) {
  if (!item.audio_ms) return null;
  const whole = seconds(item.audio_ms);
  if (item.role === "user") return <span>{t("length", whole)}</span>;
  if (item.cut_ms !== null) return <span class="cut">✂ {t("cut", seconds(item.cut_ms), whole)}</span>;
  if (item.heard_ms < item.audio_ms) return <span>{t("heard", seconds(item.heard_ms), whole)}</span>;
  return <span>{t("heardAll", whole)}</span>;
}

function status(item: ItemView): [kind: string, words: string] {
  if (item.cut_ms !== null) return ["cut", t("statusCut")];
  if (item.problem) return ["failed", t("statusNotTranscribed")];
  const known = (["in_progress", "completed", "incomplete", "failed"] as const).find((name) => name === item.status);
  return [item.status, known ? t(`status_${known}`) : item.status];
}

/** In the user's words where there are some, else in those of the server. */
function problem(item: ItemView): string {
  const { cause, step } = explain(item.problem_code, item.problem, "");
  return step ? `${cause} ${step}` : cause;
}

/** The next item gets the focus of the one that goes, else the log: the keyboard goes on from there. */
function removeItem(id: string, button: HTMLElement): void {
  const article = button.closest<HTMLElement>("article");
  const next = article?.nextElementSibling ?? article?.previousElementSibling;
  const focused = document.activeElement === button || document.activeElement === document.body;
  void send("item/delete", { id }).then((gone) => {
    if (!gone || !focused) return;
    const target = next instanceof HTMLElement && next.isConnected && next.matches("article") ? next : null;
    (target ?? document.querySelector<HTMLElement>(".log"))?.focus();
  });
}

function Item({ item }: { item: ItemView }) {
  const name = role(item);
  const [kind, state] = status(item);
  const what = `${name}, ${item.text || item.tool?.name || item.output || state}`.slice(0, 80);
  const playing = replaying.value === item.id;
  return (
    <article
      class={`item ${item.role || item.kind}`}
      aria-label={`${name}: ${item.text || item.tool?.name || item.output}`}
      tabIndex={-1}
    >
      <div class="item-head">
        <span class="role">{name}</span>
        {(kind !== "cut" || !item.audio_ms) && <span class={`status ${kind}`}>{state}</span>}
        <Sound item={item} />
        <span class="item-actions">
          {item.audio_ms > 0 && (
            <button
              type="button"
              class="quiet"
              aria-label={`${playing ? t("stop") : t("play")}: ${what}`}
              aria-pressed={playing}
              onClick={() => void playItem(item.id)}
            >
              {playing ? t("stop") : t("play")}
            </button>
          )}
          <button
            type="button"
            class="quiet"
            aria-label={`${t("remove")}: ${what}`}
            onClick={(event) => removeItem(item.id, event.currentTarget)}
          >
            {t("remove")}
          </button>
        </span>
      </div>
      <Words item={item} />
      {item.problem && <p class="problem">{problem(item)}</p>}
    </article>
  );
}

export function Conversation() {
  const log = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const known = items.value;
  useLayoutEffect(() => {
    if (log.current && atEnd.current) log.current.scrollTop = log.current.scrollHeight;
  });
  const scrolled = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = log.current!;
    atEnd.current = scrollHeight - scrollTop - clientHeight < 24;
  };
  return (
    <section class="conversation pane" data-part="talk">
      <h2>{t("conversation")}</h2>
      <div class="log" role="log" aria-label={t("conversation")} ref={log} onScroll={scrolled} tabIndex={0}>
        {order.value.length === 0 && <p class="empty">{t("noItems")}</p>}
        {order.value.map((id) => {
          const item = known.get(id);
          return item && <Item key={id} item={item} />;
        })}
      </div>
    </section>
  );
}
