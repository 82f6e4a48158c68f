import { explain, t } from "../i18n";
import { memory, weather } from "../store";
import type { WeatherView } from "../types.gen";
import { WeatherMap } from "./WeatherMap";

function said(place: WeatherView): string {
  const { cause, step } = explain(place.problem_code, place.problem, "");
  return step ? `${cause} ${step}` : cause;
}

function Weather() {
  const place = weather.value.at(-1);
  return (
    <section class="card weather" aria-label="get_weather">
      <h3>get_weather</h3>
      <WeatherMap place={place} label={t("map")} />
      {!place && <p class="empty">{t("noWeather")}</p>}
      {place && (
        <dl>
          <div>
            <dt>{t("place")}</dt>
            <dd>{place.location}</dd>
          </div>
          <div>
            <dt>{t("temperature")}</dt>
            <dd>{place.temperature_c === null ? (place.problem ? "–" : t("asking")) : `${place.temperature_c} °C`}</dd>
          </div>
          <div>
            <dt>{t("wind")}</dt>
            <dd>{place.wind_kmh === null ? (place.problem ? "–" : t("asking")) : `${place.wind_kmh} km/h`}</dd>
          </div>
        </dl>
      )}
      {place?.problem && <p class="problem">{said(place)}</p>}
    </section>
  );
}

function Memory() {
  const empty = Object.keys(memory.value).length === 0;
  return (
    <section class="card memory" aria-label="set_memory">
      <h3>set_memory</h3>
      {empty ? <p class="empty">{t("noMemory")}</p> : <pre>{JSON.stringify(memory.value, null, 2)}</pre>}
    </section>
  );
}

export function Tools() {
  return (
    <section class="tools pane" data-part="tools">
      <h2>{t("tools")}</h2>
      <Weather />
      <Memory />
    </section>
  );
}
