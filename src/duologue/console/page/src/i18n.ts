// Two languages, one table. The page follows the browser's language until the user chooses.

import { computed, effect, signal } from "@preact/signals";

type Language = "en" | "ko";

const TEXT = {
  connect: ["Connect", "연결"],
  disconnect: ["Disconnect", "연결 끊기"],
  takeover: ["Use the microphone here", "여기에서 마이크 사용"],
  watching: [
    "Another tab has the microphone; this one watches.",
    "다른 탭이 마이크를 사용 중입니다. 이 탭은 보기만 합니다.",
  ],
  vacant: [
    "The tab that had the microphone is closed: nobody has it now.",
    "마이크를 쓰던 탭이 닫혔습니다. 지금은 아무도 마이크를 쓰지 않습니다.",
  ],
  eagerness: ["Eagerness", "응답 적극성"],
  push: ["Push to talk", "눌러서 말하기"],
  pushHint: ["Hold the button or the space bar", "버튼이나 스페이스 바를 누르고 말하세요"],
  releaseHint: ["Release to send", "놓으면 전송됩니다"],
  vadHint: ["Just speak: the server hears when you stop", "그냥 말하세요. 말이 끝나면 서버가 알아챕니다"],
  noMicHint: ["The microphone is not allowed: allow it beside the address, or type", "마이크가 허용되지 않았습니다. 주소창 옆에서 허용하거나 글로 입력하세요"],
  detection: ["Turn detection", "차례 감지"],
  manual: ["Manual", "수동"],
  vad: ["VAD", "VAD"],
  message: ["Message", "메시지"],
  messageHint: ["Type a message", "메시지를 입력하세요"],
  send: ["Send", "보내기"],
  events: ["Events", "이벤트"],
  conversation: ["Conversation", "대화"],
  tools: ["Tools", "도구"],
  session: ["Session", "세션"],
  money: ["Money", "비용"],
  talk: ["Talk", "말하기"],
  filter: ["Filter events", "이벤트 필터"],
  filterHint: ["Filter: type, id or any text", "필터: 종류, ID, 본문"],
  rowsOf: ["{0} of {1} lines", "{1}줄 중 {0}줄"],
  eventsTotal: ["{0} events", "이벤트 {0}개"],
  tail: ["Follow the newest", "최신 항목 따라가기"],
  noEvents: ["Connect, and every event appears here.", "연결하면 모든 이벤트가 여기에 나타납니다."],
  noItems: [
    "Connect and say “what is the weather in Paris?”, or type a message.",
    "연결한 뒤 영어로 “what is the weather in Paris?”라고 말하거나 메시지를 입력하세요.",
  ],
  noHits: ["Nothing matches.", "일치하는 항목이 없습니다."],
  time: ["Time", "시각"],
  direction: ["Direction", "방향"],
  type: ["Type", "종류"],
  size: ["Size", "크기"],
  count: ["Count", "개수"],
  fromYou: ["sent", "보냄"],
  fromModel: ["received", "받음"],
  close: ["Close", "닫기"],
  copy: ["Copy", "복사"],
  whole: ["Load the whole frame", "전체 보기"],
  moreBytes: ["Load more", "더 보기"],
  hear: ["Play the sound", "소리 재생"],
  trimmed: ["{0} ms of sound, trimmed here", "소리 {0} ms, 여기서는 생략됨"],
  user: ["you", "나"],
  assistant: ["assistant", "모델"],
  system: ["system", "시스템"],
  toolCall: ["tool call", "도구 호출"],
  toolOutput: ["tool output", "도구 결과"],
  play: ["Play", "재생"],
  stop: ["Stop", "정지"],
  remove: ["Delete", "삭제"],
  awaiting: ["awaiting the transcript", "받아쓰는 중"],
  noWords: ["no words heard", "알아들은 말이 없습니다"],
  noTranscript: ["no transcript", "받아쓴 내용 없음"],
  listening: ["listening…", "듣는 중…"],
  heard: ["heard {0} of {1} s", "{1}초 중 {0}초 들음"],
  length: ["{0} s", "{0}초"],
  heardAll: ["heard {0} s", "{0}초 들음"],
  cut: ["cut at {0} s of {1} s", "{1}초 중 {0}초에서 잘림"],
  unheard: ["never heard:", "듣지 못한 부분:"],
  status_in_progress: ["in progress", "진행 중"],
  status_completed: ["completed", "완료"],
  status_incomplete: ["incomplete", "미완료"],
  status_failed: ["failed", "실패"],
  statusCut: ["cut", "잘림"],
  statusNotTranscribed: ["not transcribed", "받아쓰기 실패"],
  idle: ["Not connected", "연결 안 됨"],
  connecting: ["Connecting", "연결 중"],
  connected: ["Connected", "연결됨"],
  closed: ["Closed", "연결 종료"],
  lost: ["Page has lost the console process", "페이지가 콘솔 프로세스와 끊어졌습니다"],
  youSpeak: ["you are speaking", "말하는 중"],
  modelSpeaks: ["answering", "답하는 중"],
  theme: ["Theme", "테마"],
  light: ["Light", "밝게"],
  dark: ["Dark", "어둡게"],
  auto: ["Auto", "자동"],
  language: ["한국어", "English"],
  yourLevel: ["Your level", "내 소리 크기"],
  modelLevel: ["Model level", "모델 소리 크기"],
  mic: ["Microphone", "마이크"],
  speaker: ["Loudspeaker", "스피커"],
  defaultDevice: ["Default", "기본값"],
  place: ["Place", "장소"],
  temperature: ["Temperature", "기온"],
  wind: ["Wind", "풍속"],
  noWeather: ["No place asked for yet.", "아직 물어본 장소가 없습니다."],
  asking: ["asking…", "묻는 중…"],
  map: ["Map", "지도"],
  noMemory: ["Nothing remembered yet.", "아직 기억한 것이 없습니다."],
  upstream: ["Server", "서버"],
  embeddedLabel: ["embedded", "내장 서버"],
  embedded: ["Embedded (no key)", "내장 (키 불필요)"],
  openai: ["OpenAI", "OpenAI"],
  url: ["Another address", "다른 주소"],
  address: ["Address", "주소"],
  model: ["Model", "모델"],
  use: ["Use it", "사용"],
  who: ["Who answers", "응답자"],
  noKey: [
    "No key: put OPENAI_API_KEY into .env or the environment, or start with --upstream openai.",
    "키 없음: .env나 환경 변수에 OPENAI_API_KEY를 넣거나 --upstream openai로 시작하세요.",
  ],
  field: ["Setting", "설정"],
  yours: ["Wanted", "요청"],
  effective: ["In force", "적용됨"],
  instructions: ["Instructions", "지시문"],
  voice: ["Voice", "목소리"],
  modality: ["Answers as", "답변 형식"],
  audio: ["sound", "소리"],
  text: ["text", "글"],
  threshold: ["Threshold", "임계값"],
  prefix_padding_ms: ["Prefix padding, ms", "앞 여백, ms"],
  silence_duration_ms: ["Silence, ms", "침묵, ms"],
  idle_timeout_ms: ["Idle timeout, ms", "유휴 시간, ms"],
  create_response: ["Answer by itself", "자동 응답"],
  interrupt_response: ["Speech interrupts", "말하면 중단"],
  detectionKind: ["Detector", "감지기"],
  transcription_model: ["Transcription", "받아쓰기"],
  transcriptLanguage: ["Spoken language", "말하는 언어"],
  off: ["off", "끔"],
  total: ["This call", "이번 통화"],
  tokens: ["{0} tokens in, {1} out", "입력 {0} 토큰, 출력 {1} 토큰"],
  estimated: ["estimate", "추정"],
  localTokens: [
    "This server runs on your machine and costs nothing. Its token counts are estimates of its own.",
    "이 서버는 내 컴퓨터에서 실행되어 비용이 들지 않습니다. 토큰 수는 서버의 자체 추정치입니다.",
  ],
  estimateHint: [
    "Dollars are estimates: tokens as the server counts them, times a dated price table.",
    "달러는 추정치입니다. 서버가 센 토큰 수에 특정 날짜의 가격표를 곱했습니다.",
  ],
  unknownPrice: ["no price known for this model", "이 모델의 가격을 모릅니다"],
  budget: ["Budget, $", "예산, $"],
  budgetHint: ["The call ends politely when it is spent.", "다 쓰면 통화를 정중히 끝냅니다."],
  turn: ["Turn", "차례"],
  dollars: ["Dollars", "달러"],
  textTokens: ["Text in / out", "글 입력 / 출력"],
  audioTokens: ["Sound in / out", "소리 입력 / 출력"],
  cached: ["Cached", "캐시"],
  noTurns: ["No turn yet.", "아직 차례가 없습니다."],
  recordedIn: ["Recorded in", "기록 파일"],
} as const;

type Key = keyof typeof TEXT;

/** Cause and next step of what can go wrong, by code. */
const PROBLEMS: Record<string, readonly [cause: string, step: string, cause_ko: string, step_ko: string]> = {
  "mic-denied": [
    "The browser was not allowed to use the microphone.",
    "Allow it beside the address, then connect again. Typing works meanwhile.",
    "브라우저의 마이크 사용이 허용되지 않았습니다.",
    "주소창 옆에서 허용한 뒤 다시 연결하세요. 그동안 글로 대화할 수 있습니다.",
  ],
  "mic-missing": [
    "No microphone was found.",
    "Plug one in or choose another one. Typing works meanwhile.",
    "마이크를 찾을 수 없습니다.",
    "마이크를 연결하거나 다른 것을 고르세요. 그동안 글로 대화할 수 있습니다.",
  ],
  "mic-busy": [
    "The microphone could not be opened.",
    "Close the program that uses it and connect again.",
    "마이크를 열 수 없습니다.",
    "마이크를 쓰는 다른 프로그램을 닫고 다시 연결하세요.",
  ],
  "mic-lost": [
    "The microphone was unplugged.",
    "Plug it in again or choose another one.",
    "마이크 연결이 끊어졌습니다.",
    "다시 연결하거나 다른 마이크를 고르세요.",
  ],
  "mic-insecure": [
    "Browsers give the microphone only to https pages and to localhost.",
    "Open http://localhost, or start the console with --tls-cert and --tls-key.",
    "브라우저는 https 페이지와 localhost에서만 마이크를 허용합니다.",
    "http://localhost로 열거나 --tls-cert와 --tls-key로 콘솔을 시작하세요.",
  ],
  "sound-blocked": [
    "The browser holds the sound back until you click.",
    "Click anywhere on the page.",
    "클릭하기 전까지 브라우저가 소리를 막고 있습니다.",
    "페이지 아무 곳이나 클릭하세요.",
  ],
  uplink: [
    "The line to the console is too slow: some of your speech was not sent.",
    "Check the network between this device and the console.",
    "콘솔까지의 연결이 너무 느려 말의 일부가 전송되지 않았습니다.",
    "이 기기와 콘솔 사이의 네트워크를 확인하세요.",
  ],
  unreachable: [
    "The console process did not answer.",
    "Look at the terminal in which it runs; the page connects again by itself.",
    "콘솔 프로세스가 응답하지 않습니다.",
    "실행 중인 터미널을 확인하세요. 페이지는 스스로 다시 연결합니다.",
  ],
  speaker: [
    "The chosen loudspeaker cannot be used.",
    "Choose another one.",
    "선택한 스피커를 사용할 수 없습니다.",
    "다른 스피커를 고르세요.",
  ],
  replay: ["This sound could not be played.", "", "이 소리를 재생할 수 없습니다.", ""],
  audio: ["Sound could not be set up.", "Load the page again.", "소리를 준비할 수 없습니다.", "페이지를 새로 고치세요."],
  upstream: ["", "", "서버에 연결할 수 없습니다.", "서버 주소, 모델, 키를 확인하세요."],
  "upstream-again": ["", "", "서버에 연결할 수 없습니다.", "서버가 실행 중인지 확인하고 잠시 후 다시 시도하세요."],
  "ended-by-server": ["", "", "서버가 통화를 끝냈습니다.", "다시 연결하세요."],
  "ended-restart": ["", "", "서버가 중지되었거나 다시 시작되었습니다.", "다시 연결하세요."],
  "ended-problem": ["", "", "문제가 생겨 통화가 끝났습니다.", "다시 연결하세요."],
  "ended-lost": ["", "", "서버와의 연결이 끊어졌습니다.", "서버가 실행 중인지 확인하고 다시 연결하세요."],
  "ended-silent": ["", "", "서버가 더 이상 응답하지 않습니다.", "서버가 실행 중인지 확인하고 다시 연결하세요."],
  "ended-refused": ["", "", "서버가 이 통화를 허용하지 않습니다.", "키와 모델을 확인하고 다시 연결하세요."],
  "ended-too-big": ["", "", "한 번에 너무 많은 데이터를 서버에 보냈습니다.", "다시 연결하세요."],
  "ended-failed": ["", "", "서버에서 오류가 났습니다.", "다시 연결하세요. 반복되면 서버의 로그를 확인하세요."],
  "ended-busy": ["", "", "서버가 너무 바쁩니다.", "잠시 기다렸다가 다시 연결하세요."],
  "no-connection": ["", "", "연결하지 못했습니다", ""],
  stopped: ["", "", "콘솔이 종료되었습니다", ""],
  "page-closed": ["", "", "페이지가 닫혔습니다", ""],
  defect: ["", "", "콘솔 오류", ""],
  "recognizer-crashed": [
    "The speech recognizer stopped while it listened to you. It has been restarted.",
    "Say it again.",
    "듣는 도중에 음성 인식기가 멈췄습니다. 다시 시작되었습니다.",
    "다시 말해 주세요.",
  ],
  "recognizer-language": [
    "",
    "",
    "내장 음성 인식기는 영어만 알아듣습니다.",
    "다른 언어는 --stt-url로 인식기를 연결하세요.",
  ],
  service_unreachable: [
    "The weather service cannot be reached.",
    "Is this machine connected to a network?",
    "날씨 서비스에 연결할 수 없습니다.",
    "이 컴퓨터가 네트워크에 연결되어 있는지 확인하세요.",
  ],
  service_refused: ["", "", "날씨 서비스가 요청을 거절했습니다.", ""],
  service_nonsense: ["", "", "날씨 서비스의 답을 이해할 수 없습니다.", ""],
  setting: ["", "", "서버가 설정을 받아들이지 않았습니다.", "세션 패널의 해당 항목을 확인하세요."],
  response: ["", "", "답변하지 못했습니다.", ""],
  recording: ["", "", "세션 파일에 기록할 수 없습니다.", "통화는 기록 없이 계속됩니다. 디스크 공간과 --sessions를 확인하세요."],
  engine: ["", "", "내장 서버를 시작할 수 없습니다.", ""],
  "in-call": ["", "", "통화 중입니다.", "먼저 연결을 끊으세요."],
  "not-connected": ["", "", "통화 중이 아닙니다.", "먼저 연결하세요."],
  "bad-address": ["", "", "사용할 수 없는 주소입니다.", ""],
  "no-key": ["", "", "OpenAI 키가 없습니다.", ".env에 OPENAI_API_KEY를 넣거나 --upstream openai로 다시 시작하세요."],
  budget: ["", "", "예산을 다 써서 통화를 끝냈습니다.", "예산을 올리고 다시 연결하세요."],
  transcription: ["", "", "말을 받아쓰지 못했습니다.", ""],
};

/** Problems whose own words say more than the translation does. */
const DETAILED = new Set([
  "mic-busy", "audio", "replay", "upstream", "upstream-again", "engine", "transcription", "response", "setting", "recording",
  "bad-address",
]);

const stored = localStorage.getItem("duologue-language") as Language | null;
export const language = signal<Language>(stored ?? (navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en"));
const column = computed(() => (language.value === "ko" ? 1 : 0));

effect(() => {
  document.documentElement.lang = language.value;
});

export function switchLanguage(): void {
  language.value = language.value === "en" ? "ko" : "en";
  localStorage.setItem("duologue-language", language.value);
}

export function t(key: Key, ...values: (string | number)[]): string {
  return TEXT[key][column.value].replace(/\{(\d)\}/g, (_, index: string) => String(values[Number(index)]));
}

/** A problem in the user's language; what Python or the browser said in detail is kept behind it. */
export function explain(code: string, cause: string, step: string): { cause: string; step: string } {
  const known = PROBLEMS[code];
  if (!known) return { cause: cause || code, step };
  const [causeEn, stepEn, causeKo, stepKo] = known;
  const own = language.value === "ko" ? causeKo : causeEn;
  const detail = DETAILED.has(code) && own && cause && cause !== own;
  return {
    cause: detail ? `${own} (${cause})` : own || cause,
    step: (language.value === "ko" ? stepKo : stepEn) || step,
  };
}
