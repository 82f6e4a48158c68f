// Made by tools/page_types.py from duologue/console/views.py; do not edit.

/** One line of the event list: `count` events of one type, item and response, from event `first` on.
 *
 * Nothing came between them but the microphone's own events.
 */
export interface EventRow {
  n: number;
  first: number;
  count: number;
  t_ms: number;
  last_ms: number;
  by: "client" | "server";
  type: string;
  size: number;
  item: string;
  response: string;
  note: string;
}

/** One event inside an opened line. */
export interface EventHead {
  n: number;
  t_ms: number;
  size: number;
  note: string;
}

/** What an event carried: `json` has its sound replaced by a note, `audio_ms` of sound can be asked for. */
export interface EventBody {
  n: number;
  json: string;
  size: number;
  audio_ms: number;
}

/** A tool call as the model asks for it; `arguments` grows while it is spoken. */
export interface ToolCallView {
  name: string;
  call_id: string;
  arguments: string;
}

/** One item of the conversation.
 *
 * `heard_ms` of `audio_ms` have left the loudspeaker; `cut_ms` is set once the item was truncated there. `unheard` is
 * the part of the text that was generated but never reached the ear. `no_words`: speech in which none were heard.
 */
export interface ItemView {
  id: string;
  kind: string;
  role: string;
  status: string;
  text: string;
  unheard: string;
  awaiting_transcript: boolean;
  no_words: boolean;
  tool: ToolCallView | null;
  output: string;
  audio_ms: number;
  heard_ms: number;
  cut_ms: number | null;
  problem: string;
  problem_code: string;
}

/** The part of the session that the panel edits, flat. None means "not told" in the effective column. */
export interface Settings {
  instructions: string | null;
  voice: string | null;
  modality: "audio" | "text" | null;
  detection: "server_vad" | "semantic_vad" | "manual" | null;
  threshold: number | null;
  prefix_padding_ms: number | null;
  silence_duration_ms: number | null;
  idle_timeout_ms: number | null;
  create_response: boolean | null;
  interrupt_response: boolean | null;
  eagerness: "auto" | "low" | "medium" | "high" | null;
  transcription_model: string | null;
  language: string | null;
}

/** What was asked for, and what the server says is in force (None before the first `session.created`).
 *
 * `refused` tells by field why the server did not take what was asked for.
 */
export interface SessionView {
  wanted: Settings;
  effective: Settings | null;
  refused: Record<string, string>;
}

/** Who answers. `label` never holds a key; `has_key` only says whether this process has one for OpenAI. */
export interface UpstreamView {
  kind: "embedded" | "openai" | "url";
  url: string;
  model: string;
  label: string;
  has_key: boolean;
}

/** The connection as it truly is. `owner` is the viewer that has the microphone, empty while nobody has it.
 *
 * `vacant`: the owner's tab is closed. `reason` says in words why a call ended, `reason_code` lets the page translate it.
 */
export interface CallView {
  state: "idle" | "connecting" | "connected" | "closed";
  reason: string;
  reason_code: string;
  number: number;
  started_unix_ms: number;
  mode: "manual" | "vad";
  owner: string;
  vacant: boolean;
  recording: boolean;
  user_speaking: boolean;
  responding: boolean;
  session_file: string;
}

/** One response's tokens and dollars. */
export interface TurnCost {
  response: string;
  text_in: number;
  audio_in: number;
  cached_in: number;
  text_out: number;
  audio_out: number;
  usd: number;
  estimated: boolean;
}

/** The running bill of the call. `budget_usd` None: no limit. `known`: the model has a price in our table.
 *
 * `local`: the server runs here and costs nothing; its tokens are counts of its own and no provider's.
 */
export interface MoneyView {
  turns: TurnCost[];
  tokens_in: number;
  tokens_out: number;
  usd: number;
  estimated: boolean;
  known: boolean;
  local: boolean;
  budget_usd: number | null;
}

/** One answer of `get_weather`; temperature in degrees Celsius, wind in km/h, None while asking or after a failure. */
export interface WeatherView {
  lat: number;
  lng: number;
  location: string;
  temperature_c: number | null;
  wind_kmh: number | null;
  problem: string;
  problem_code: string;
}

/** Something the user should know: `cause` in plain words, `step` what to do next. `code` lets the page translate. */
export interface BannerView {
  id: number;
  code: string;
  cause: string;
  step: string;
}

/** Rows (their `n`) that match the text filter, in order; `reset` says that earlier hits are void. */
export interface FilterHits {
  q: string;
  reset: boolean;
  rows: number[];
}

/** One message of the feed: all that changed after revision `since`, up to `rev`. None: unchanged.
 *
 * `reset` tells the page to forget what it has (another process, or a log that was cleared).
 */
export interface Frame {
  epoch: string;
  rev: number;
  reset?: boolean;
  you?: string;
  rows?: EventRow[];
  events?: number;
  items?: ItemView[];
  order?: string[];
  call?: CallView;
  upstream?: UpstreamView;
  session?: SessionView;
  money?: MoneyView;
  memory?: Record<string, unknown>;
  weather?: WeatherView[];
  banners?: BannerView[];
  hits?: FilterHits;
}
