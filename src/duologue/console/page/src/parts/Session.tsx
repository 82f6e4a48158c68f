import { useState } from "preact/hooks";
import { t } from "../i18n";
import { call, change, live, refusals, send, session, upstream } from "../store";
import type { Settings } from "../types.gen";

const VOICES = ["alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"];
const LANGUAGES = ["en", "ko", "de", "es", "fr", "ja", "zh"];

type Field = keyof Settings;

/** What the server says it does: differs from the wish while an update is on its way, or for good if it was refused. */
function InForce({ field }: { field: Field }) {
  const now = session.value?.effective;
  if (!now) return <span class="force faint">–</span>;
  const value = now[field];
  const wanted = session.value?.wanted[field];
  const text = value === null ? "–" : String(value);
  return (
    <span class={`force ${wanted !== null && value !== null && wanted !== value ? "differs" : ""}`} title={text}>
      {text}
    </span>
  );
}

function Line(props: { field: Field; label: string; tall?: boolean; children: preact.ComponentChildren }) {
  const { field, label, children } = props;
  const why = refusals.value[field] ?? session.value?.refused[field];
  return (
    <div class={props.tall ? "setting tall" : "setting"}>
      <label for={`set-${field}`}>{label}</label>
      {children}
      <InForce field={field} />
      {why && (
        <p class="problem" role="status">
          {why}
        </p>
      )}
    </div>
  );
}

function NumberLine({ field, step, max }: { field: Field & Parameters<typeof t>[0]; step: number; max?: number }) {
  const value = session.value?.wanted[field];
  return (
    <Line field={field} label={t(field)}>
      <input
        id={`set-${field}`}
        type="number"
        min={0}
        max={max}
        step={step}
        value={value === null || value === undefined ? "" : String(value)}
        onChange={(event) => void change(field, event.currentTarget.value === "" ? null : event.currentTarget.valueAsNumber)}
      />
    </Line>
  );
}

function CheckLine({ field }: { field: "create_response" | "interrupt_response" }) {
  return (
    <Line field={field} label={t(field)}>
      <input
        id={`set-${field}`}
        type="checkbox"
        checked={session.value?.wanted[field] ?? true}
        onChange={(event) => void change(field, event.currentTarget.checked)}
      />
    </Line>
  );
}

function ChoiceLine(props: { field: Field; label: string; options: [value: string, shown: string][] }) {
  return (
    <Line field={props.field} label={props.label}>
      <select
        id={`set-${props.field}`}
        value={String(session.value?.wanted[props.field] ?? "")}
        onChange={(event) => void change(props.field, event.currentTarget.value || null)}
      >
        {props.options.map(([value, shown]) => (
          <option key={value} value={value}>
            {shown}
          </option>
        ))}
      </select>
    </Line>
  );
}

function Upstream() {
  const now = upstream.value;
  const [kind, setKind] = useState<"embedded" | "openai" | "url" | null>(null);
  const [url, setUrl] = useState<string | null>(null);
  const [model, setModel] = useState<string | null>(null);
  if (!now) return null;
  const chosen = kind ?? now.kind;
  const use = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wish = { kind: chosen, url: url ?? now.url, model: model ?? (chosen === now.kind ? now.model : "") };
    if (!(await send("upstream", wish))) return;
    setKind(null);
    setUrl(null);
    setModel(null);
  };
  return (
    <form class="card upstream" onSubmit={(event) => void use(event)}>
      <h3>{t("upstream")}</h3>
      <div class="setting two">
        <label for="up-kind">{t("who")}</label>
        <select id="up-kind" value={chosen} onChange={(event) => setKind(event.currentTarget.value as "embedded")}>
          {(["embedded", "openai", "url"] as const).map((name) => (
            <option key={name} value={name}>
              {t(name)}
            </option>
          ))}
        </select>
      </div>
      {chosen === "url" && (
        <div class="setting two">
          <label for="up-url">{t("address")}</label>
          <input
            id="up-url"
            type="text"
            placeholder="ws://127.0.0.1:8000/v1/realtime"
            value={url ?? now.url}
            onInput={(event) => setUrl(event.currentTarget.value)}
          />
        </div>
      )}
      {chosen !== "embedded" && (
        <div class="setting two">
          <label for="up-model">{t("model")}</label>
          <input
            id="up-model"
            type="text"
            placeholder="gpt-realtime"
            value={model ?? (chosen === now.kind ? now.model : "")}
            onInput={(event) => setModel(event.currentTarget.value)}
          />
        </div>
      )}
      {chosen === "openai" && !now.has_key && <p class="problem">{t("noKey")}</p>}
      <button type="submit" disabled={live.value || (chosen === "openai" && !now.has_key)}>
        {t("use")}
      </button>
    </form>
  );
}

export function Session() {
  const now = session.value;
  if (!now) return <section class="session pane" data-part="session" />;
  const { wanted } = now;
  return (
    <section class="session pane" data-part="session">
      <h2>{t("session")}</h2>
      <Upstream />
      <div class="card settings" role="group" aria-label={t("session")}>
        <Line field="instructions" label={t("instructions")} tall>
          <textarea
            id="set-instructions"
            rows={4}
            value={wanted.instructions ?? ""}
            onChange={(event) => void change("instructions", event.currentTarget.value)}
          />
        </Line>
        <div class="setting legend" aria-hidden="true">
          <span>{t("field")}</span>
          <span>{t("yours")}</span>
          <span>{t("effective")}</span>
        </div>
        <Line field="voice" label={t("voice")}>
          <input
            id="set-voice"
            list="voices"
            value={wanted.voice ?? ""}
            onChange={(event) => void change("voice", event.currentTarget.value || null)}
          />
        </Line>
        <datalist id="voices">
          {VOICES.map((voice) => (
            <option key={voice} value={voice} />
          ))}
        </datalist>
        <ChoiceLine
          field="modality"
          label={t("modality")}
          options={[
            ["audio", t("audio")],
            ["text", t("text")],
          ]}
        />
        <ChoiceLine
          field="detection"
          label={t("detectionKind")}
          options={[
            ["manual", t("manual")],
            ["server_vad", "server_vad"],
            ["semantic_vad", "semantic_vad"],
          ]}
        />
        {wanted.detection !== "semantic_vad" && (
          <>
            <NumberLine field="threshold" step={0.05} max={1} />
            <NumberLine field="prefix_padding_ms" step={50} />
            <NumberLine field="silence_duration_ms" step={50} />
            <NumberLine field="idle_timeout_ms" step={1000} />
          </>
        )}
        {wanted.detection === "semantic_vad" && (
          <ChoiceLine
            field="eagerness"
            label={t("eagerness")}
            options={["auto", "low", "medium", "high"].map((name) => [name, name])}
          />
        )}
        <CheckLine field="create_response" />
        <CheckLine field="interrupt_response" />
        <Line field="transcription_model" label={t("transcription_model")}>
          <input
            id="set-transcription_model"
            value={wanted.transcription_model ?? ""}
            placeholder={t("off")}
            onChange={(event) => void change("transcription_model", event.currentTarget.value || null)}
          />
        </Line>
        <Line field="language" label={t("transcriptLanguage")}>
          <input
            id="set-language"
            list="languages"
            value={wanted.language ?? ""}
            onChange={(event) => void change("language", event.currentTarget.value || null)}
          />
        </Line>
        <datalist id="languages">
          {LANGUAGES.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      </div>
      {call.value?.session_file && (
        <p class="faint file">
          {t("recordedIn")} <code>{call.value.session_file}</code>
        </p>
      )}
    </section>
  );
}
