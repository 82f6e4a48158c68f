import { explain, t } from "../i18n";
import { banners, call, forget, live, mine, problems, send } from "../store";

const SHOWN = 3;

export function Banners() {
  const all = [...banners.value, ...problems.value].slice(-SHOWN);
  return (
    <div class="banners" role="alert">
      {live.value && !mine.value && call.value?.owner && <p class="banner note">{t(call.value.vacant ? "vacant" : "watching")}</p>}
      {all.map((banner) => {
        const { cause, step } = explain(banner.code, banner.cause, banner.step);
        const close = (): void => {
          if (banner.id < 0) forget(banner.code);
          else void send("banner/close", { id: banner.id });
        };
        return (
          <p class="banner" key={banner.id}>
            <span>
              <strong>{cause}</strong> {step}
            </span>
            <button type="button" class="quiet" aria-label={t("close")} onClick={close}>
              ×
            </button>
          </p>
        );
      })}
    </div>
  );
}
