import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { unlock } from "../audio/engine";
import { explain, language, switchLanguage, t } from "../i18n";
import { call, linked, live, me, mine, money, send, upstream } from "../store";

import type { CallView } from "../types.gen";

type Theme = "auto" | "light" | "dark";
const theme = signal<Theme>((localStorage.getItem("duologue-theme") as Theme | null) ?? "auto");

function nextTheme(): void {
  const next = { auto: "light", light: "dark", dark: "auto" } as const;
  theme.value = next[theme.value];
  localStorage.setItem("duologue-theme", theme.value);
  showTheme();
}

function showTheme(): void {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}
showTheme();

function reason(now: CallView): string {
  const words = language.value === "ko" ? explain(now.reason_code, "", "").cause : "";
  return (words && words !== now.reason_code ? words : now.reason).replace(/\.$/, "");
}

function state(): string {
  if (linked.value === "lost") return t("lost");
  const now = call.value;
  if (!now) return t("connecting");
  if (now.state === "closed") return now.reason ? `${t("closed")}: ${reason(now)}` : t("closed");
  if (now.state === "connected" && now.user_speaking) return `${t("connected")} · ${t("youSpeak")}`;
  if (now.state === "connected" && now.responding) return `${t("connected")} · ${t("modelSpeaks")}`;
  return t(now.state);
}

function Elapsed() {
  const [, tick] = useState(0);
  const running = call.value?.state === "connected" && linked.value !== "lost";
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [running]);
  if (!running || !call.value) return null;
  const seconds = Math.max(0, Math.floor((Date.now() - call.value.started_unix_ms) / 1000));
  const parts = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, "0"));
  const hours = Math.floor(seconds / 3600);
  return <span class="elapsed">{(hours ? `${hours}:` : "") + parts.join(":")}</span>;
}

/** One command is on its way: a second click must not start a second session. */
const busy = signal(false);

async function command(name: "connect" | "disconnect" | "take"): Promise<void> {
  if (busy.value) return;
  busy.value = true;
  if (name !== "disconnect") unlock();
  await send(name);
  busy.value = false;
}

export function Header() {
  const now = call.value;
  // Red is for what ended by itself; who hung up knows why.
  const hungUp = now?.state === "closed" && !now.reason;
  const lamp = linked.value === "lost" ? "closed" : hungUp ? "idle" : (now?.state ?? "idle");
  return (
    <header>
      <h1>
        <img src="/icon.svg" alt="" width="24" height="24" />
        Duologue
      </h1>
      <div class="state">
        <span class={`lamp ${lamp}`} aria-hidden="true" />
        <span role="status" class="state-text">
          {state()}
        </span>
        <Elapsed />
        <span class="who">{upstream.value?.kind === "embedded" ? t("embeddedLabel") : upstream.value?.label}</span>
        {money.value && money.value.turns.length > 0 && (
          <span class="spent">
            {money.value.known ? `$${money.value.usd.toFixed(4)}` : t("unknownPrice")}
            {money.value.known && money.value.estimated ? ` ${t("estimated")}` : ""}
          </span>
        )}
      </div>
      <div class="actions">
        {live.value && !mine.value && now && (
          <button type="button" onClick={() => void command("take")} disabled={!me.value || linked.value === "lost"}>
            {t("takeover")}
          </button>
        )}
        {live.value ? (
          <button key="disconnect" type="button" class="danger" onClick={() => void command("disconnect")} disabled={linked.value === "lost"}>
            {t("disconnect")}
          </button>
        ) : (
          <button
            key="connect"
            type="button"
            class="primary"
            onClick={() => void command("connect")}
            disabled={linked.value !== "open"}
          >
            {t("connect")}
          </button>
        )}
        <button type="button" class="quiet" lang={language.value === "en" ? "ko" : "en"} onClick={switchLanguage}>
          {t("language")}
        </button>
        <button type="button" class="quiet" onClick={nextTheme} aria-label={`${t("theme")}: ${t(theme.value)}`}>
          {{ auto: "◐", light: "☀", dark: "☾" }[theme.value]}
        </button>
      </div>
    </header>
  );
}
