import { useEffect, useRef, useState } from "preact/hooks";
import {
  canPickOutput,
  chooseInput,
  chooseOutput,
  inputId,
  inputs,
  listDevices,
  micLevel,
  modelLevel,
  outputId,
  outputs,
  press,
  pressed,
  release,
  unlock,
} from "../audio/engine";
import { t } from "../i18n";
import { call, linked, mine, problems, send } from "../store";
import { Meter } from "./Meter";

function Mode() {
  const mode = call.value?.mode ?? "manual";
  const choose = (next: "manual" | "vad") => () => void send("mode", { mode: next });
  return (
    <div class="modes" role="radiogroup" aria-label={t("detection")}>
      {(["manual", "vad"] as const).map((name) => (
        <label key={name} class={mode === name ? "chosen" : ""}>
          <input type="radio" name="mode" checked={mode === name} onChange={choose(name)} />
          {t(name)}
        </label>
      ))}
    </div>
  );
}

function Push() {
  const denied = problems.value.some((known) => known.code === "mic-denied");
  const ready = call.value?.state === "connected" && mine.value && linked.value !== "lost" && !denied;
  const vad = call.value?.mode === "vad";
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // Whoever connected by keyboard has lost the button that had the focus: this is the next one to press.
    if (ready && !vad && document.activeElement === document.body) button.current?.focus({ preventScroll: true });
  }, [ready, vad]);
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    event.preventDefault();
    button.current?.focus({ preventScroll: true });
    // With the pointer captured, letting go anywhere releases: no recording is left behind.
    button.current?.setPointerCapture(event.pointerId);
    unlock();
    press();
  };
  const enter = (event: KeyboardEvent): void => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) press();
  };
  return (
    <div class={vad ? "push-box listening" : "push-box"}>
      <button
        type="button"
        class="push"
        ref={button}
        aria-pressed={pressed.value}
        aria-describedby="push-hint"
        disabled={!ready || vad}
        onPointerDown={down}
        onPointerUp={release}
        onPointerCancel={release}
        onLostPointerCapture={release}
        onContextMenu={(event) => event.preventDefault()}
        onKeyDown={enter}
        onKeyUp={(event) => event.key === "Enter" && release()}
      >
        {t("push")}
      </button>
      <span class={denied ? "hint denied" : "hint"} id="push-hint">
        {denied ? t("noMicHint") : vad ? t("vadHint") : pressed.value ? t("releaseHint") : t("pushHint")}
      </span>
    </div>
  );
}

function Message() {
  const [text, setText] = useState("");
  const ready = call.value?.state === "connected" && linked.value !== "lost";
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const words = text.trim();
    if (!words || !ready) return;
    unlock();
    if (await send("say", { text: words })) setText("");
  };
  return (
    <form class="message" onSubmit={(event) => void submit(event)}>
      <input
        type="text"
        aria-label={t("message")}
        placeholder={t("messageHint")}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        autocomplete="off"
      />
      <button type="submit" disabled={!ready || !text.trim()}>
        {t("send")}
      </button>
    </form>
  );
}

function Devices() {
  const list = (kind: string, devices: MediaDeviceInfo[], chosen: string, choose: (id: string) => void) => (
    <label>
      <span>{kind}</span>
      <select
        value={devices.some((device) => device.deviceId === chosen) ? chosen : ""}
        onFocus={() => void listDevices()}
        onChange={(event) => choose(event.currentTarget.value)}
      >
        <option value="">{t("defaultDevice")}</option>
        {devices
          .filter((device) => device.deviceId !== "default")
          .map((device, index) => (
            <option key={device.deviceId} value={device.deviceId}>
              {device.label || `${kind} ${index + 1}`}
            </option>
          ))}
      </select>
    </label>
  );
  return (
    <div class="devices">
      {list(t("mic"), inputs.value, inputId.value, chooseInput)}
      {canPickOutput && list(t("speaker"), outputs.value, outputId.value, chooseOutput)}
    </div>
  );
}

export function Talk() {
  return (
    <footer class="talk">
      <div class="meters">
        <Meter label={t("yourLevel")} analyser={micLevel.value} kind="you" />
        <Meter label={t("modelLevel")} analyser={modelLevel.value} kind="model" />
      </div>
      <Mode />
      <Push />
      <Message />
      <Devices />
    </footer>
  );
}
