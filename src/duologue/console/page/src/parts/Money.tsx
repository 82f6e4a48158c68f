import { t } from "../i18n";
import { money, send } from "../store";

function dollars(usd: number): string {
  return `$${usd.toFixed(usd < 0.01 && usd > 0 ? 5 : 4)}`;
}

export function Money() {
  const now = money.value;
  if (!now) return <section class="money pane" data-part="money" />;
  return (
    <section class="money pane" data-part="money">
      <h2>{t("money")}</h2>
      <div class="card">
        <p class="sum">
          <span class="faint">{t("total")}</span> <strong>{now.known ? dollars(now.usd) : "–"}</strong>{" "}
          {now.known && now.estimated && <span class="tag">{t("estimated")}</span>}
          {!now.known && <span class="tag">{t("unknownPrice")}</span>}
        </p>
        <p class="faint">{t("tokens", now.tokens_in, now.tokens_out)}</p>
        {now.turns.length > 0 && <p class="faint">{t(now.local ? "localTokens" : "estimateHint")}</p>}
        <div class="setting two">
          <label for="budget">{t("budget")}</label>
          <input
            id="budget"
            type="number"
            min={0}
            step={0.01}
            value={now.budget_usd ?? ""}
            onChange={(event) => {
              const value = event.currentTarget.value;
              void send("budget", { usd: value === "" ? null : Number(value) });
            }}
          />
        </div>
        <p class="faint">{t("budgetHint")}</p>
      </div>
      <div class="card">
        {now.turns.length === 0 && <p class="empty">{t("noTurns")}</p>}
        {now.turns.length > 0 && (
          <table>
            <thead>
              <tr>
                <th scope="col">{t("turn")}</th>
                <th scope="col">{t("textTokens")}</th>
                <th scope="col">{t("audioTokens")}</th>
                <th scope="col">{t("cached")}</th>
                <th scope="col">{t("dollars")}</th>
              </tr>
            </thead>
            <tbody>
              {now.turns.map((turn, index) => (
                <tr key={turn.response} title={turn.response}>
                  <th scope="row">{index + 1}</th>
                  <td>
                    {turn.text_in} / {turn.text_out}
                  </td>
                  <td>
                    {turn.audio_in} / {turn.audio_out}
                  </td>
                  <td>{turn.cached_in}</td>
                  <td>
                    {turn.estimated && now.known ? "~" : ""}
                    {now.known ? dollars(turn.usd) : "–"}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </section>
  );
}
