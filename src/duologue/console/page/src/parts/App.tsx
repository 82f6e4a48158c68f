import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { press, release, unlock } from "../audio/engine";
import { t } from "../i18n";
import { problems } from "../store";
import { Banners } from "./Banners";
import { Conversation } from "./Conversation";
import { Events } from "./Events";
import { Header } from "./Header";
import { Money } from "./Money";
import { Session } from "./Session";
import { Talk } from "./Talk";
import { Tools } from "./Tools";

const TABS = ["talk", "events", "tools", "session", "money"] as const;
type Tab = (typeof TABS)[number];

/** On a narrow page one tab shows; a wide one shows all, and the tabs choose what is in the right column. */
const tab = signal<Tab>("talk");
const side = signal<"tools" | "session" | "money">("tools");

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Space holds to talk, wherever the focus is, except where a space is text or a control's own key. */
function useSpaceBar(): void {
  useEffect(() => {
    const own = (event: KeyboardEvent): boolean => {
      if (event.code !== "Space" || event.ctrlKey || event.altKey || event.metaKey) return false;
      const target = event.target as HTMLElement;
      if (typing(target) && (target as HTMLInputElement).type !== "radio") return false;
      return !target.closest("button:not(.push), [role=tab], summary, a");
    };
    const down = (event: KeyboardEvent): void => {
      if (!own(event)) return;
      event.preventDefault();
      if (!event.repeat) press();
    };
    const up = (event: KeyboardEvent): void => {
      if (event.code !== "Space") return;
      if (own(event)) event.preventDefault();
      release();
    };
    const wake = (): void => {
      if (problems.value.some((problem) => problem.code === "sound-blocked")) unlock();
    };
    // A button that was clicked keeps no focus: the next space is meant for talking, not for that button again.
    const clicked = (event: MouseEvent): void => {
      if (event.detail > 0) (event.target as HTMLElement).closest<HTMLElement>("button:not(.push)")?.blur();
    };
    window.addEventListener("click", clicked);
    window.addEventListener("keydown", down);
    window.addEventListener("keyup", up);
    window.addEventListener("pointerdown", wake);
    return () => {
      window.removeEventListener("click", clicked);
      window.removeEventListener("keydown", down);
      window.removeEventListener("keyup", up);
      window.removeEventListener("pointerdown", wake);
    };
  }, []);
}

function choose(next: Tab): void {
  tab.value = next;
  if (next !== "talk" && next !== "events") side.value = next;
}

function Tabs({ names, chosen, className }: { names: readonly Tab[]; chosen: Tab; className: string }) {
  const move = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    choose(names[(names.indexOf(chosen) + step + names.length) % names.length]!);
    const list = event.currentTarget as HTMLElement;
    queueMicrotask(() => list.querySelector<HTMLElement>("[aria-selected=true]")?.focus());
  };
  return (
    <div class={`tabs ${className}`} role="tablist" onKeyDown={move}>
      {names.map((name) => (
        <button
          key={name}
          type="button"
          role="tab"
          aria-selected={name === chosen}
          tabIndex={name === chosen ? 0 : -1}
          onClick={() => choose(name)}
        >
          {t(name)}
        </button>
      ))}
    </div>
  );
}

export function App() {
  useSpaceBar();
  return (
    <div class="page" data-tab={tab.value} data-side={side.value}>
      <Header />
      <Banners />
      <Tabs names={TABS} chosen={tab.value} className="narrow" />
      <main>
        <Events />
        <Conversation />
        <div class="side">
          <Tabs names={["tools", "session", "money"]} chosen={side.value} className="wide" />
          <Tools />
          <Session />
          <Money />
        </div>
      </main>
      <Talk />
    </div>
  );
}
