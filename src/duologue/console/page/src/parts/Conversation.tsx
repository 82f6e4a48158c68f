import { useLayoutEffect, useRef } from "preact/hooks";
import { playItem, replaying } from "../audio/engine";
import { t } from "../i18n";
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
    return <p class="words faint">{item.problem ? "" : t("noTranscript")}</p>;
  }
  return (
    <p class="words">
      {item.text}
      {item.unheard && (
        <>
          {" "}
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
  if (item.role === "user") return <span>{whole} s</span>;
  if (item.cut_ms !== null) return <span class="cut">✂ {t("cut", seconds(item.cut_ms), whole)}</span>;
  if (item.heard_ms < item.audio_ms) return <span>{t("heard", seconds(item.heard_ms), whole)}</span>;
  return <span>{t("heard", whole, whole)}</span>;
}

function Item({ item }: { item: ItemView }) {
  const name = role(item);
  const status = `status_${item.status}`;
  const playing = replaying.value === item.id;
  return (
    <article class={`item ${item.role || item.kind}`} aria-label={`${name}: ${item.text || item.tool?.name || item.output}`}>
      <div class="item-head">
        <span class="role">{name}</span>
        <span class={`status ${item.status}`}>
          {status === "status_in_progress" ? t("status_in_progress") : null}
          {status === "status_completed" ? t("status_completed") : null}
          {status === "status_incomplete" ? t("status_incomplete") : null}
          {status === "status_failed" ? t("status_failed") : null}
        </span>
        <Sound item={item} />
        <span class="item-actions">
          {item.audio_ms > 0 && (
            <button type="button" class="quiet" aria-pressed={playing} onClick={() => void playItem(item.id)}>
              {playing ? t("stop") : t("play")}
            </button>
          )}
          <button type="button" class="quiet" onClick={() => void send("item/delete", { id: item.id })}>
            {t("remove")}
          </button>
        </span>
      </div>
      <Words item={item} />
      {item.problem && <p class="problem">{item.problem}</p>}
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
